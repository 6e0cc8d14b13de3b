package caddymodule

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"sync"

	"go.opentelemetry.io/contrib/propagators/autoprop"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/caddy-convoai/convoai/api"
	"github.com/caddy-convoai/convoai/region"
)

// Where Caddy's tracing directive records a span for the request, the call has
// spans of its own below it, by the same provider. Where it does not, a look at the
// request's context is all that tracing costs.
//
// No attribute ever holds a token, a secret, an App ID, a channel, an agent ID or a
// phone number.
const (
	tracerName = "github.com/caddy-convoai/convoai"

	// spanAuthorize is the getting of a credential, with the completing of a body.
	spanAuthorize = "convoai.authorize"

	// spanAttempt is one sending of the call, from the wish for a connection to the
	// end of the answer's body.
	spanAttempt = "convoai.attempt"
)

// The attributes beside those of OpenTelemetry's semantic conventions for HTTP.
const (
	operationKey   attribute.Key = "convoai.operation"
	authModeKey    attribute.Key = "convoai.auth_mode"
	cacheResultKey attribute.Key = "convoai.cache_result" // of authorize, of minted tokens: as in the metrics
	regionKey      attribute.Key = "convoai.region"
	replacedKey    attribute.Key = "convoai.replaced" // of authorize after a 401: whether there is another token
	outcomeKey     attribute.Key = "convoai.outcome"  // of an attempt, as in the metrics
)

// tracer returns what makes the spans of a request, or nil where it is not traced.
func tracer(ctx context.Context) trace.Tracer {
	if !observing {
		return nil
	}
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return nil
	}
	return parent.TracerProvider().Tracer(tracerName, trace.WithSchemaURL(semconv.SchemaURL))
}

// authorizing begins the span of getting a credential for c. It is nil where the
// request is not traced.
func (c *Call) authorizing(ctx context.Context) trace.Span {
	from := tracer(ctx)
	if from == nil {
		return nil
	}
	_, span := from.Start(ctx, spanAuthorize, trace.WithAttributes(
		operationKey.String(c.operation.Name), authModeKey.String(c.project.mode)))
	return span
}

// authorized ends a span of authorizing, which may be nil.
func authorized(span trace.Span, got credential, err error) {
	if span == nil {
		return
	}
	if got.looked {
		span.SetAttributes(cacheResultKey.String(got.result.String()))
	}
	if err != nil {
		span.SetAttributes(semconv.ErrorTypeKey.String(api.ReasonCredentialUnavailable))
		span.SetStatus(codes.Error, "no valid credential could be had")
	}
	span.End()
}

// reauthorizing begins the span of replacing the token of c, which was refused. It
// is nil where there is no token to replace, and where the request is not traced.
func (c *Call) reauthorizing(ctx context.Context) trace.Span {
	c.attempt.traceEnd()
	if c.credential.minted == nil {
		return nil
	}
	return c.authorizing(ctx)
}

// reauthorized ends a span of reauthorizing, which may be nil. ok is false where the
// token stays, and the 401 with it.
func reauthorized(span trace.Span, got credential, ok bool) {
	if span != nil {
		span.SetAttributes(replacedKey.Bool(ok))
	}
	authorized(span, got, nil)
}

// trace begins the span of a, which ctx is the request's context of.
func (a *attempt) trace(ctx context.Context, c *Call) {
	from := tracer(ctx)
	if from == nil {
		return
	}
	attributes := []attribute.KeyValue{
		semconv.HTTPRequestMethodKey.String(c.operation.Method),
		semconv.ServerAddress(a.endpoint.Host),
		semconv.URLScheme(a.endpoint.Scheme),
		semconv.URLTemplate(c.prefix + c.operation.Template),
		semconv.URLFull(a.endpoint.String() + c.prefix + withoutIDs.Replace(c.operation.Template)),
		operationKey.String(c.operation.Name),
		regionKey.String(a.endpoint.Region),
	}
	if port, err := strconv.Atoi(a.endpoint.Port); err == nil {
		attributes = append(attributes, semconv.ServerPort(port))
	}
	if c.sends > 0 {
		attributes = append(attributes, semconv.HTTPRequestResendCount(c.sends))
	}
	_, a.span = from.Start(ctx, spanAttempt, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...))
}

// withoutIDs makes a template a path whose IDs are left out, as the semantic
// conventions want them to be of url.full. There is no query in it either.
var withoutIDs = strings.NewReplacer("{appid}", "REDACTED", "{agent_id}", "REDACTED", "{phone_number}", "REDACTED")

// propagators write the context of a span into a request's headers, in the formats
// that OTEL_PROPAGATORS names, as Caddy's tracing does.
var propagators = sync.OnceValue(func() propagation.TextMapPropagator { return autoprop.NewTextMapPropagator() })

// propagate has the headers of a's request name its span, if it has one: those
// that the policy passes on.
func (a *attempt) propagate(to http.Header, policy *headerPolicy) {
	if a.span == nil {
		return
	}
	carrier := passedCarrier{propagation.HeaderCarrier(to), policy}
	for _, name := range propagators().Fields() {
		delete(to, textproto.CanonicalMIMEHeaderKey(name)) // what Caddy or the caller has set
	}
	propagators().Inject(trace.ContextWithSpan(a.Context, a.span), carrier)
}

// passedCarrier takes the headers that a policy passes on.
type passedCarrier struct {
	propagation.HeaderCarrier
	policy *headerPolicy
}

// Set implements [propagation.TextMapCarrier].
func (c passedCarrier) Set(name, value string) {
	if c.policy.passes(textproto.CanonicalMIMEHeaderKey(name)) {
		c.HeaderCarrier.Set(name, value)
	}
}

// traceConn notes whom a has a connection to: the upstream, or a forward proxy.
func (a *attempt) traceConn(conn net.Conn) {
	if a.span == nil || conn == nil {
		return
	}
	if peer, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		a.span.SetAttributes(semconv.NetworkPeerAddress(remoteAddr(conn).String()), semconv.NetworkPeerPort(peer.Port))
	}
}

// traceOutcome notes how a went, as the metrics count it.
func (a *attempt) traceOutcome(outcome string) {
	if a.span != nil {
		a.span.SetAttributes(outcomeKey.String(outcome))
	}
}

// traceAnswer notes that an answer has come. The span goes on until its body ends.
func (a *attempt) traceAnswer(res *http.Response) {
	if a.span == nil {
		return
	}
	a.span.SetAttributes(
		semconv.HTTPResponseStatusCode(res.StatusCode),
		semconv.NetworkProtocolVersion(protocolVersion(res)),
	)
	if res.StatusCode >= http.StatusBadRequest {
		a.span.SetAttributes(semconv.ErrorTypeKey.String(strconv.Itoa(res.StatusCode)))
		a.span.SetStatus(codes.Error, "")
	}
}

// protocolVersion is network.protocol.version: "1.1", "2".
func protocolVersion(res *http.Response) string {
	if res.ProtoMajor == 1 {
		return "1." + strconv.Itoa(res.ProtoMinor)
	}
	return strconv.Itoa(res.ProtoMajor)
}

// The values of error.type beside status codes.
const (
	errorCanceled = "canceled" // the caller has gone
	errorTimeout  = "timeout"
	errorLost     = "connection_lost"
)

// causeTypes are the error types of what keeps an attempt from being answered.
var causeTypes = [...]string{
	region.Unreachable:     "unreachable",
	region.NameNotResolved: "name_not_resolved",
	region.Refused:         "connection_refused",
	region.ConnectTimeout:  "connect_timeout",
	region.TLSFailed:       "tls_failed",
	region.ConnectionLost:  errorLost,
	region.NoAnswer:        errorTimeout,
}

// traceFailure ends a's span with an error, unless it has ended.
func (a *attempt) traceFailure(errorType, description string) {
	if a.span != nil {
		a.span.SetAttributes(semconv.ErrorTypeKey.String(errorType))
		a.span.SetStatus(codes.Error, description)
		a.span.End()
	}
}

// traceBody ends a's span where err has ended the body of its answer.
func (a *attempt) traceBody(err error) {
	switch {
	case a.span == nil:
	case err == io.EOF:
		a.span.End()
	case errors.Is(context.Cause(a.Context), errResponseTimeout):
		a.traceFailure(errorTimeout, "the answer stopped midway")
	case errors.Is(err, context.Canceled):
		a.traceFailure(errorCanceled, "the caller has gone")
	default:
		a.traceFailure(errorLost, "the answer broke off")
	}
}

// traceEnd ends a's span, unless it has ended.
func (a *attempt) traceEnd() {
	if a.span != nil {
		a.span.End()
	}
}
