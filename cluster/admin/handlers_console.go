package admin

import (
	"context"
	"time"

	"connectrpc.com/connect"

	"edgefog.dev/isgw/cluster/admin/adminpb"
)

type consoleHandler struct{ *Server }

// Watch sends what changed since the caller's revision, and a heartbeat when
// nothing did for a while. A caller that asks for changes gets a whole snapshot
// once and then partial ones.
func (h *consoleHandler) Watch(ctx context.Context, req *connect.Request[adminpb.WatchConsoleRequest], stream *connect.ServerStream[adminpb.ConsoleSnapshot]) error {
	ticker := time.NewTicker(watchInterval(req.Msg.GetIntervalMillis()))
	defer ticker.Stop()
	known := req.Msg.GetKnownRevision()
	caller := callerProto(CallerOf(ctx))
	var sent time.Time
	var base *adminpb.ConsoleSnapshot // what the caller has, when it is told what changes
	for {
		snapshot, err := h.options.Console.Snapshot(ctx)
		if err != nil {
			return err
		}
		now := h.options.Clock()
		switch {
		case snapshot.GetRevision() != known:
			told := &adminpb.ConsoleSnapshot{}
			shallow(told, snapshot) // it is shared with other watchers
			told.Caller = caller
			if base != nil {
				told = changesOf(base, told)
			}
			if req.Msg.GetChanges() {
				base = snapshot
			}
			err = stream.Send(told)
		case now.Sub(sent) >= heartbeatTime:
			err = stream.Send(&adminpb.ConsoleSnapshot{Time: snapshot.GetTime(), Revision: known, Heartbeat: true})
		default:
			now = sent
		}
		if err != nil {
			return err
		}
		known, sent = snapshot.GetRevision(), now
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-h.draining:
			return Errorf(CodeUnavailable, "the node is shutting down")
		}
	}
}

func (h *consoleHandler) History(ctx context.Context, req *connect.Request[adminpb.HistoryRequest]) (*connect.Response[adminpb.HistoryResponse], error) {
	history, err := h.options.Console.History(ctx, req.Msg)
	return answer(history, err)
}

type plansHandler struct{ *Server }

func (h *plansHandler) Plan(ctx context.Context, req *connect.Request[adminpb.PlanRequest]) (*connect.Response[adminpb.PlanResponse], error) {
	plan, err := h.options.Plans.Plan(ctx, req.Msg)
	return answer(&adminpb.PlanResponse{Plan: plan}, err)
}

func (h *plansHandler) Apply(ctx context.Context, req *connect.Request[adminpb.ApplyRequest]) (*connect.Response[adminpb.ApplyResponse], error) {
	result, err := h.options.Plans.Apply(ctx, req.Msg)
	return answer(result, err)
}

type accessHandler struct{ *Server }

func (h *accessHandler) WhoAmI(ctx context.Context, _ *connect.Request[adminpb.WhoAmIRequest]) (*connect.Response[adminpb.WhoAmIResponse], error) {
	who, err := h.options.Access.WhoAmI(ctx)
	return answer(who, err)
}

func (h *accessHandler) CreateToken(ctx context.Context, req *connect.Request[adminpb.CreateTokenRequest]) (*connect.Response[adminpb.CreateTokenResponse], error) {
	token, err := h.options.Access.CreateToken(ctx, req.Msg)
	return answer(token, err)
}

func (h *accessHandler) ListTokens(ctx context.Context, _ *connect.Request[adminpb.ListTokensRequest]) (*connect.Response[adminpb.ListTokensResponse], error) {
	tokens, err := h.options.Access.ListTokens(ctx)
	return answer(&adminpb.ListTokensResponse{Tokens: tokens}, err)
}

func (h *accessHandler) RevokeToken(ctx context.Context, req *connect.Request[adminpb.RevokeTokenRequest]) (*connect.Response[adminpb.RevokeTokenResponse], error) {
	return answer(&adminpb.RevokeTokenResponse{}, h.options.Access.RevokeToken(ctx, req.Msg.GetName()))
}

func (h *accessHandler) IssueCertificate(ctx context.Context, req *connect.Request[adminpb.IssueCertificateRequest]) (*connect.Response[adminpb.IssueCertificateResponse], error) {
	issued, err := h.options.Access.IssueCertificate(ctx, req.Msg)
	return answer(issued, err)
}

func (h *accessHandler) Audit(ctx context.Context, req *connect.Request[adminpb.AuditRequest]) (*connect.Response[adminpb.AuditResponse], error) {
	limit := int(min(req.Msg.GetLimit(), maxAudit))
	if limit == 0 {
		limit = defaultAudit
	}
	entries, err := h.options.Access.Audit(ctx, limit)
	return answer(&adminpb.AuditResponse{Entries: entries}, err)
}
