package sim

import (
	"fmt"
	"net/http"
)

// apiError is an error reply.
type apiError struct {
	status, code int
	message      string
}

// The codes of the API's documents (error code tables of IM REST; REPORT_API, errors).
const (
	codeInternal      = 899000
	codeNoUser        = 899002
	codeParameter     = 899003
	codeNoGroup       = 899006
	codeNoAuth        = 899007
	codeWrongAuth     = 899008
	codeNoAppKey      = 899009
	codeTimeOut       = 899030
	codeNoTargetGroup = 899045
	codeNoRoom        = 899081
	codeTooManyReq    = 2002
)

func parameter(message string) *apiError {
	return &apiError{http.StatusBadRequest, codeParameter, message}
}

func tooMany() *apiError {
	return &apiError{http.StatusTooManyRequests, codeTooManyReq, "Request times of the app_key exceed the limit of current time window"}
}

func (s *Server) expired() *apiError {
	return &apiError{s.ExpiredStatus, s.ExpiredCode, "cursor is invalid or expired"}
}

// write answers a request with the error.
func (e *apiError) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(e.status)
	fmt.Fprintf(w, `{"error":{"code":%d,"message":%+q}}`, e.code, e.message) // A client that went away is no news.
}
