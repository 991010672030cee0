package tunnel

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// dialError is what dialling gives.
func dialError(t *testing.T, d *Dialer, address string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := d.DialContext(ctx, "tcp", address)
	if err == nil {
		c.Close()
	}
	return err
}

// TestPeers gives each side what was verified of the other.
func TestPeers(t *testing.T) {
	here, there := pair(t, nil)
	if here.Peer() != "far" || there.Peer() != "near" {
		t.Errorf("the peers are %v and %v", here.Peer(), there.Peer())
	}
}

// TestStrangers has each side dialled by, or dial, somebody that it does not believe.
func TestStrangers(t *testing.T) {
	for _, c := range []struct {
		name    string
		spoil   func(near, far *party)
		want    error
		refused string // by the listener
	}{
		{"the side that dialled does not know the other", func(near, far *party) { delete(near.knows, "far") }, errStranger, ""},
		{"the side that dialled knows the other with another key", func(near, far *party) { near.knows["far"] = near.knows["far"][1:] }, errStranger, ""},
		{"the side that was dialled does not know the other", func(near, far *party) { delete(far.knows, "near") }, ErrRejected, `a stranger called "near"`},
		{"the side that was dialled knows the other with another key", func(near, far *party) {
			_, far.key, _ = ed25519.GenerateKey(rand.Reader)
			far.meet(far)
			near.knows["far"] = far.knows["far"]
			far.knows["near"] = far.knows["far"]
		}, ErrRejected, `a stranger called "near"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			near, far := twoParties()
			c.spoil(near, far)
			l, refused := listen(t, far, nil)
			err := dialError(t, dialer(t, near, nil, nil), l.Addr().String())
			if !errors.Is(err, c.want) {
				t.Errorf("the error is %v, want %v", err, c.want)
			}
			until(t, "the listener hears of it", func() bool { return refused.has(c.refused) })
		})
	}
}

// TestPlainBesideTunnel lets both arrive at one address.
func TestPlainBesideTunnel(t *testing.T) {
	near, far := twoParties()
	l, _ := listen(t, far, nil)
	plain, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if _, err := plain.Write([]byte("\x16\x03\x01 and so on")); err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := make([]byte, 13)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "\x16\x03\x01 and so on" {
		t.Errorf("read %q, %v", got, err)
	}
	if _, ok := c.(interface{ NetConn() net.Conn }).NetConn().(*net.TCPConn); !ok {
		t.Error("the TCP connection beneath is not to be found")
	}
	here, there := connect(t, l, dialer(t, near, nil, nil))
	if _, ok := here.NetConn().(*net.TCPConn); !ok {
		t.Error("the TCP connection beneath a tunnel is not to be found")
	}
	if here.LocalAddr().String() != there.RemoteAddr().String() {
		t.Errorf("a tunnel from %s came from %s", here.LocalAddr(), there.RemoteAddr())
	}
}

// TestNoTunnel dials what is not the end of a tunnel.
func TestNoTunnel(t *testing.T) {
	near, far := twoParties()
	// One that answers with something else.
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer other.Close()
	wg.Go(func() {
		for {
			c, err := other.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			_, _ = io.Copy(io.Discard, c)
			c.Close()
		}
	})
	d := dialer(t, near, nil, func(o *Options) { o.Handshake = 2 * time.Second })
	if err := dialError(t, d, other.Addr().String()); !errors.Is(err, ErrNoTunnel) {
		t.Errorf("the error is %v", err)
	}
	// One that ends the connection at once.
	l, _ := listen(t, far, nil)
	address := l.Addr().String()
	l.Close()
	if err := dialError(t, d, address); err == nil {
		t.Error("a listener that was closed was reached")
	}
}

// TestSilentStranger bounds the time that a connection has to say what it is, on
// either side.
func TestSilentStranger(t *testing.T) {
	near, far := twoParties()
	short := func(o *Options) { o.Handshake = 100 * time.Millisecond }
	l, refused := listen(t, far, short)
	for _, say := range []string{"", "S", "SSH-2.0-somebody\r\n"} {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte(say)); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.Copy(io.Discard, c); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("who says %q is not turned away: %v", say, err)
		}
		c.Close()
	}
	until(t, "the listener hears of it", func() bool { return refused.has("it has not said within 100ms what it is") })

	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	began := time.Now()
	if err := dialError(t, dialer(t, near, nil, short), mute.Addr().String()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the error is %v", err)
	}
	if took := time.Since(began); took > 5*time.Second { // half of what it has by default
		t.Errorf("it took %s", took)
	}
}

// TestStrangersAreFew holds connections open that say nothing: more than a
// bound are closed, and those that are known stay.
func TestStrangersAreFew(t *testing.T) {
	near, far := twoParties()
	l, refused := listen(t, far, nil)
	d := dialer(t, near, nil, nil)
	here, there := connect(t, l, d)
	var open []net.Conn
	for range maxHostUnknown {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		open = append(open, c)
	}
	if err := dialError(t, d, l.Addr().String()); err == nil {
		t.Error("there is room for one more")
	}
	until(t, "the listener hears of it", func() bool { return refused.has("too many connections of this address") })
	if _, err := here.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if _, err := there.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
	for _, c := range open {
		c.Close()
	}
	until(t, "there is room again", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		c, err := d.DialContext(ctx, "tcp", l.Addr().String())
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// stranger is a client made of x/crypto alone, with a key and a certificate of
// its own choice.
func stranger(p *party, change func(*ssh.ClientConfig)) *ssh.ClientConfig {
	o := p.options()
	signer, err := o.signer(ssh.UserCert)
	if err != nil {
		panic(err)
	}
	config := &ssh.ClientConfig{User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
		HostKeyAlgorithms: []string{ssh.CertAlgoED25519v01}}
	if change != nil {
		change(config)
	}
	return config
}

// TestNothingButLinks asks a listener for all that an SSH server may give.
func TestNothingButLinks(t *testing.T) {
	near, far := twoParties()
	l, refused := listen(t, far, nil)
	dial := func(change func(*ssh.ClientConfig)) (*ssh.Client, error) {
		return ssh.Dial("tcp", l.Addr().String(), stranger(near, change))
	}
	t.Run("session", func(t *testing.T) {
		c, err := dial(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.NewSession(); err == nil || !strings.Contains(err.Error(), "nothing here but links") {
			t.Errorf("the error is %v", err)
		}
		until(t, "the listener hears of it", func() bool { return refused.has(`a channel of type "session"`) })
	})
	t.Run("forwarding", func(t *testing.T) {
		c, err := dial(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Listen("tcp", "127.0.0.1:0"); err == nil {
			t.Error("it listens for others")
		}
		if _, err := c.Dial("tcp", l.Addr().String()); err == nil {
			t.Error("it dials for others")
		}
	})
	t.Run("second channel", func(t *testing.T) {
		c, err := dial(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		taken := make(chan net.Conn, 1)
		go func() {
			conn, _ := l.Accept()
			taken <- conn
		}()
		channel, requests, err := c.OpenChannel(channelType, nil)
		if err != nil {
			t.Fatal(err)
		}
		go ssh.DiscardRequests(requests)
		conn := <-taken
		defer conn.Close()
		if _, _, err := c.OpenChannel(channelType, nil); err == nil {
			t.Error("there are two channels")
		}
		for _, what := range []string{"shell", "exec", "pty-req", "env", "subsystem"} {
			if ok, err := channel.SendRequest(what, true, nil); ok || err != nil {
				t.Errorf("request %s: %t, %v", what, ok, err)
			}
		}
	})
	for name, change := range map[string]func(*ssh.ClientConfig){
		"password": func(c *ssh.ClientConfig) { c.Auth = []ssh.AuthMethod{ssh.Password("secret")} },
		"nothing":  func(c *ssh.ClientConfig) { c.Auth = nil },
		"bare key": func(c *ssh.ClientConfig) {
			signer, err := ssh.NewSignerFromKey(near.key)
			if err != nil {
				t.Fatal(err)
			}
			c.Auth = []ssh.AuthMethod{ssh.PublicKeys(signer)}
		},
		"certificate of a host": func(c *ssh.ClientConfig) {
			o := near.options()
			signer, err := o.signer(ssh.HostCert)
			if err != nil {
				t.Fatal(err)
			}
			c.Auth = []ssh.AuthMethod{ssh.PublicKeys(signer)}
		},
		"cipher":   func(c *ssh.ClientConfig) { c.Ciphers = []string{ssh.CipherAES128CTR, ssh.CipherChaCha20Poly1305} },
		"exchange": func(c *ssh.ClientConfig) { c.KeyExchanges = []string{ssh.KeyExchangeECDHP256} },
	} {
		t.Run(name, func(t *testing.T) {
			c, err := dial(change)
			if err == nil {
				c.Close()
				t.Error("it is let in")
			}
		})
	}
}

// TestBorrowedCertificate shows the certificate of somebody who is known, and
// signs with another key.
func TestBorrowedCertificate(t *testing.T) {
	near, far := twoParties()
	third := newParty("third")
	far.meet(third)
	l, _ := listen(t, far, nil)
	o := third.options()
	borrowed, err := o.signer(ssh.UserCert)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := ssh.NewSignerFromKey(near.key)
	if err != nil {
		t.Fatal(err)
	}
	stolen := &borrower{borrowed.PublicKey(), plain}
	if c, err := ssh.Dial("tcp", l.Addr().String(), stranger(near, func(c *ssh.ClientConfig) {
		c.Auth = []ssh.AuthMethod{ssh.PublicKeys(stolen)}
	})); err == nil {
		c.Close()
		t.Error("somebody else's certificate lets in")
	}
}

// borrower signs with its own key for a certificate of somebody else.
type borrower struct {
	public ssh.PublicKey
	signer ssh.Signer
}

func (b *borrower) PublicKey() ssh.PublicKey { return b.public }
func (b *borrower) Sign(r io.Reader, data []byte) (*ssh.Signature, error) {
	return b.signer.Sign(r, data)
}

// TestVerify is how a certificate is taken apart.
func TestVerify(t *testing.T) {
	near, far := twoParties()
	o := far.options()
	plain, err := ssh.NewSignerFromKey(near.key)
	if err != nil {
		t.Fatal(err)
	}
	_, cruel, _ := ed25519.GenerateKey(rand.Reader)
	otherKey, err := ssh.NewSignerFromKey(cruel)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(*ssh.Certificate)
		want   string // in the error; empty when it is believed
	}{
		{"as it is made", func(*ssh.Certificate) {}, ""},
		{"long ago", func(c *ssh.Certificate) { c.ValidBefore = 1 }, ""},
		{"another name", func(c *ssh.Certificate) { c.ValidPrincipals = []string{"root"} }, ""},
		{"another extension", func(c *ssh.Certificate) { c.Extensions["permit-pty"] = "" }, ""},
		{"host", func(c *ssh.Certificate) { c.CertType = ssh.HostCert }, "wrong type"},
		{"no proof", func(c *ssh.Certificate) { c.Extensions = nil }, "no proof"},
		{"a proof of somebody else", func(c *ssh.Certificate) { c.Extensions[proofExtension] = "far" }, "a stranger"},
		{"a long proof", func(c *ssh.Certificate) { c.Extensions[proofExtension] = string(make([]byte, MaxProof+1)) }, "longer than"},
		{"an option", func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"force-command": "true"} }, "options that are not known"},
		{"another key", func(c *ssh.Certificate) { c.Key = otherKey.PublicKey() }, "a stranger"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cert := &ssh.Certificate{Key: plain.PublicKey(), CertType: ssh.UserCert,
				Permissions: ssh.Permissions{Extensions: map[string]string{proofExtension: "near"}}}
			c.change(cert)
			if err := cert.SignCert(rand.Reader, plain); err != nil {
				t.Fatal(err)
			}
			sent, err := ssh.ParsePublicKey(cert.Marshal())
			if err != nil {
				t.Fatal(err)
			}
			peer, err := o.verify(sent, ssh.UserCert)
			switch {
			case c.want == "" && (err != nil || peer != "near"):
				t.Errorf("the peer is %v, %v", peer, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("the error is %v, want %q", err, c.want)
			}
		})
	}
	if _, err := o.verify(plain.PublicKey(), ssh.UserCert); err == nil {
		t.Error("a bare key is believed")
	}
}

// FuzzVerify takes certificates apart that anybody may send.
func FuzzVerify(f *testing.F) {
	near, far := twoParties()
	mine := near.options()
	signer, err := mine.signer(ssh.UserCert)
	if err != nil {
		f.Fatal(err)
	}
	good := signer.PublicKey().Marshal()
	f.Add(good)
	f.Add(bytes.Replace(good, []byte("near"), []byte("farr"), 1))
	f.Add(good[:len(good)-70])
	o := far.options()
	f.Fuzz(func(t *testing.T, raw []byte) {
		key, err := ssh.ParsePublicKey(raw)
		if err != nil {
			return
		}
		peer, err := o.verify(key, ssh.UserCert)
		if err != nil {
			return
		}
		cert := key.(*ssh.Certificate)
		public := cert.Key.(ssh.CryptoPublicKey).CryptoPublicKey().(ed25519.PublicKey)
		if peer != "near" || !public.Equal(near.key.Public()) {
			t.Errorf("somebody else is believed to be %v", peer)
		}
	})
}

// TestListenerEnds closes a listener while handshakes are under way.
func TestListenerEnds(t *testing.T) {
	near, far := twoParties()
	l, _ := listen(t, far, nil)
	here, there := connect(t, l, dialer(t, near, nil, nil))
	mute, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the error is %v", err)
	}
	if _, err := here.Write([]byte("x")); err != nil {
		t.Errorf("what was accepted does not live on: %v", err)
	}
	if _, err := there.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

// TestOptions refuses what is missing.
func TestOptions(t *testing.T) {
	if _, err := NewDialer(Options{Alive: -1}, nil); err == nil || !strings.Contains(err.Error(), "credentials") ||
		!strings.Contains(err.Error(), "verify") || !strings.Contains(err.Error(), "negative") {
		t.Errorf("the error is %v", err)
	}
	near, _ := twoParties()
	for _, bad := range []func(*Options){
		func(o *Options) {
			o.Credentials = func() (ed25519.PrivateKey, []byte, error) { return nil, nil, errors.New("no roster") }
		},
		func(o *Options) {
			o.Credentials = func() (ed25519.PrivateKey, []byte, error) { return near.key, make([]byte, MaxProof+1), nil }
		},
	} {
		if err := dialError(t, dialer(t, near, nil, bad), "127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "credentials of tunnel") {
			t.Errorf("the error is %v", err)
		}
	}
}
