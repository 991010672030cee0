package tui

import "strings"

// editFlags are the flags of isgwctl service edit by what the form of a link's
// settings calls them. Those that next steps name for the other site are not among them.
var editFlags = map[string]string{
	"local": "LOCAL", "remote": "ADDRESS", "direction": "DIRECTION", "replication": "REPLICATION",
	"send-limit": "SEND LIMIT", "receive-limit": "RECV LIMIT",
}

// nextStep is what to do about a link, or about the site when the name is empty, with
// keys in place of the commands that they do as well: the node words it for isgwctl
// status too. A key that is not among those that work here is one of the link's page.
func (m *Model) nextStep(text, name string, here []binding) string {
	if !strings.Contains(text, "isgwctl ") {
		return text
	}
	keys := map[string]string{"isgwctl service create": "n"}
	if l := m.link(name); l != nil {
		keys = map[string]string{
			"isgwctl link failed " + name:           "f",
			"isgwctl link retry " + name + " --all": "R",
			"isgwctl service resync " + name:        "T",
		}
		switch {
		case !l.GetEnabled():
			keys["isgwctl service enable"] = "E"
		case l.GetPaused(): // else it is the other site that paused it
			keys["isgwctl link resume "+name] = "p"
		}
		for flag := range editFlags {
			keys["isgwctl service edit "+name+" --"+flag] = "e"
		}
	}
	for command, key := range keys {
		spelled := m.spell(keyName(key))
		if _, ok := find(here, key); !ok {
			spelled = m.spell(keyName("enter")) + " " + spelled
		}
		if _, flag, ok := strings.Cut(command, " --"); ok && key == "e" {
			spelled += ", " + editFlags[flag]
		}
		before, after, ok := strings.Cut(text, command)
		before, after = strings.TrimSuffix(before, "`"), strings.TrimPrefix(after, "`")
		if ok && !strings.HasPrefix(after, " at the other site") {
			text = before + spelled + after
		}
	}
	return text
}
