package registry

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/jmpub/jmpub/internal/words"
	"github.com/jmpub/jmpub/pipeline"
)

// fault says what an error asks for.
func (c *Client) fault(ctx context.Context, subject string, err error) error {
	op := "look up the schema " + subject
	if c.cfg.Register {
		op = "register the schema " + subject
	}
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("%s: %w", op, errors.Join(cause, c.redactor.Error(err)))
	}
	f := &pipeline.Fault{Op: op + " at " + c.cfg.URL, Err: c.redactor.Error(err), Class: pipeline.Permanent}
	if said, ok := errors.AsType[*sr.ResponseError](err); ok {
		f.Err = c.answer(said)
		f.Class, f.Hint = classify(said)
		return f
	}
	f.Class, f.Hint = classifyOther(err)
	return f
}

// answer is an error that the registry has answered with.
type answer struct {
	status int
	text   string
	absent bool
}

// answer takes the beginning of what was said, which may be a page, without the credentials that it may show.
func (c *Client) answer(said *sr.ResponseError) answer {
	const most = 200
	return answer{said.StatusCode, words.Line(c.redactor.Begin(said.Error(), most)), isAbsent(said)}
}

// Error has the status and what was said.
func (a answer) Error() string { return fmt.Sprintf("status %d: %s", a.status, a.text) }

// Answered reports whether an error of [Client.ID] is something that the registry has answered.
func Answered(err error) bool {
	_, ok := errors.AsType[answer](err)
	return ok
}

// IsAbsent reports whether an error of [Client.ID] says that the registry does not have the schema under the subject.
func IsAbsent(err error) bool {
	said, ok := errors.AsType[answer](err)
	return ok && said.absent
}

func isAbsent(said *sr.ResponseError) bool {
	return said.ErrorCode == codeNoSubject || said.ErrorCode == codeNoSchema
}

// The error codes of Confluent's API.
const (
	codeNoSubject = 40401
	codeNoSchema  = 40403
)

// classify is for what a registry, or whatever answers there, has said.
func classify(said *sr.ResponseError) (pipeline.Class, string) {
	switch status := said.StatusCode; {
	case isAbsent(said):
		return pipeline.Permanent, "register docs/schemas/message.avsc under this subject, or let jmpub do it with JMPUB_SCHEMA_REGISTRY_REGISTER=true"
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return pipeline.Permanent, "the registry refused the credentials; check JMPUB_SCHEMA_REGISTRY_USERNAME, _PASSWORD and _URL, " +
			"and that they may read and, with JMPUB_SCHEMA_REGISTRY_REGISTER=true, write subjects"
	case status == http.StatusConflict:
		return pipeline.Permanent, "another schema stands under this subject, and its compatibility rule refuses this one; " +
			"give jmpub topics of its own, or change the rule"
	case status == http.StatusUnprocessableEntity:
		return pipeline.Permanent, "the registry does not take the schema, or is read only"
	case status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= http.StatusInternalServerError:
		return pipeline.Transient, ""
	default:
		return pipeline.Permanent, noRegistry
	}
}

const noRegistry = "there is no schema registry; check JMPUB_SCHEMA_REGISTRY_URL (of Apicurio Registry it ends in /apis/ccompat/v7)"

// classifyOther is for what came instead of an answer.
func classifyOther(err error) (pipeline.Class, string) {
	var verification *tls.CertificateVerificationError
	var notTLS tls.RecordHeaderError
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &verification):
		return pipeline.Permanent, "the registry's certificate is not trusted; check JMPUB_SCHEMA_REGISTRY_CA_FILE and the host in JMPUB_SCHEMA_REGISTRY_URL"
	case errors.As(err, &notTLS), errors.Is(err, http.ErrSchemeMismatch):
		return pipeline.Permanent, "the registry does not speak TLS there; check JMPUB_SCHEMA_REGISTRY_URL"
	case errors.Is(err, errRedirect):
		return pipeline.Permanent, "set JMPUB_SCHEMA_REGISTRY_URL to the address of the registry itself"
	case errors.As(err, &syntax), errors.As(err, &kind), errors.Is(err, errNoID):
		return pipeline.Permanent, noRegistry
	default:
		return pipeline.Transient, ""
	}
}
