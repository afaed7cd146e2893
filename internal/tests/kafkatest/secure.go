package kafkatest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Secure is a broker with a listener for each way to secure it. Its plain listener, in Addrs, is for the test: whoever comes
// there may do everything.
type Secure struct {
	*Cluster

	// TLS encrypts, Mutual also wants a client's certificate, SASL wants credentials, and SASLTLS both encrypts and wants
	// credentials. Expired has a certificate that is over.
	TLS, Mutual, SASL, SASLTLS, Expired string
	// CA signed the broker's certificate and the client's, Cert and Key are the client's, OtherCA signed nothing. They are
	// names of files.
	CA, OtherCA, Cert, Key string
	// Username and Password work with each SASL mechanism. The user has no rights but those that a test gives it.
	Username, Password string
	given              []Right
}

// The listeners with credentials.
const (
	listenSASL    = "SASL"
	listenSASLTLS = "SASLTLS"
)

// StartSecure starts a broker that checks rights, and makes its certificates and users. With open, every user has all
// rights.
func StartSecure(tb testing.TB, open bool) *Secure {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), startTimeout)
	defer cancel()
	s := &Secure{Cluster: &Cluster{}, Username: "jmpub", Password: "s3cret-of-jmpub"}
	files := s.certificates(tb)
	listeners := []struct {
		name, protocol string
		addr           *string
	}{
		{"TLS", "SSL", &s.TLS},
		{"MUTUAL", "SSL", &s.Mutual},
		{listenSASL, "SASL_PLAINTEXT", &s.SASL},
		{listenSASLTLS, "SASL_SSL", &s.SASLTLS},
		{"EXPIRED", "SSL", &s.Expired},
	}
	var exposed []string
	for _, port := range FreePorts(tb, 1+len(listeners)) {
		exposed = append(exposed, strconv.Itoa(port))
	}
	env := nodeEnv(0, 1, exposed[0])
	for i, l := range listeners {
		port := exposed[1+i]
		*l.addr = "127.0.0.1:" + port
		env["KAFKA_LISTENERS"] += "," + l.name + "://:" + port
		env["KAFKA_ADVERTISED_LISTENERS"] += "," + l.name + "://127.0.0.1:" + port
		env["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"] += "," + l.name + ":" + l.protocol
	}
	maps.Copy(env, secureEnv(s, open))
	s.run(ctx, tb, newNetwork(ctx, tb), env, exposed, testcontainers.WithFiles(files...))
	s.WaitReady(tb, 1)
	s.scram(tb)
	return s
}

// folder is where the broker finds its certificates.
const folder = "/opt/jmpub-certificates/"

func secureEnv(s *Secure, open bool) map[string]string {
	login := ` required username="admin" password="admin" user_admin="admin" user_` + s.Username + `="` + s.Password + `";`
	env := map[string]string{
		"KAFKA_AUTHORIZER_CLASS_NAME":                       "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"KAFKA_SUPER_USERS":                                 "User:ANONYMOUS",
		"KAFKA_ALLOW_EVERYONE_IF_NO_ACL_FOUND":              strconv.FormatBool(open),
		"KAFKA_SASL_ENABLED_MECHANISMS":                     "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
		"KAFKA_SSL_KEYSTORE_TYPE":                           "PEM",
		"KAFKA_SSL_KEYSTORE_LOCATION":                       folder + "broker.pem",
		"KAFKA_SSL_TRUSTSTORE_TYPE":                         "PEM",
		"KAFKA_SSL_TRUSTSTORE_LOCATION":                     folder + "ca.pem",
		"KAFKA_LISTENER_NAME_MUTUAL_SSL_CLIENT_AUTH":        "required",
		"KAFKA_LISTENER_NAME_EXPIRED_SSL_KEYSTORE_TYPE":     "PEM",
		"KAFKA_LISTENER_NAME_EXPIRED_SSL_KEYSTORE_LOCATION": folder + "expired.pem",
	}
	for _, listener := range []string{listenSASL, listenSASLTLS} {
		prefix := "KAFKA_LISTENER_NAME_" + listener + "_"
		env[prefix+"PLAIN_SASL_JAAS_CONFIG"] = "org.apache.kafka.common.security.plain.PlainLoginModule" + login
		for _, mechanism := range []string{"SCRAM___SHA___256", "SCRAM___SHA___512"} {
			env[prefix+mechanism+"_SASL_JAAS_CONFIG"] = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
		}
	}
	return env
}

// scram gives the user its credentials for both mechanisms.
func (s *Secure) scram(tb testing.TB) {
	tb.Helper()
	admin := s.Admin(tb)
	for _, mechanism := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} {
		const iterations = 4096
		res, err := admin.AlterUserSCRAMs(tb.Context(), nil, []kadm.UpsertSCRAM{{
			User: s.Username, Mechanism: mechanism, Iterations: iterations, Password: s.Password,
		}})
		if err == nil {
			err = res.Error()
		}
		if err != nil {
			tb.Fatalf("give %s credentials for %v: %v", s.Username, mechanism, err)
		}
	}
}

// Admin is a client that may do everything.
func (c *Cluster) Admin(tb testing.TB) *kadm.Client {
	tb.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Addrs...))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(client.Close)
	return kadm.NewClient(client)
}

// certificates makes a private authority and what it signs.
func (s *Secure) certificates(tb testing.TB) []testcontainers.ContainerFile {
	tb.Helper()
	dir := tb.TempDir()
	ca, other := newAuthority(tb, "jmpub tests"), newAuthority(tb, "somebody else")
	year := time.Now().AddDate(1, 0, 0)
	broker := ca.sign(tb, "broker", year, net.IPv4(127, 0, 0, 1))
	expired := ca.sign(tb, "broker", time.Now().Add(-time.Hour), net.IPv4(127, 0, 0, 1))
	client := ca.sign(tb, "jmpub-client", year)
	write := func(name string, parts ...[]byte) string {
		path := filepath.Join(dir, name)
		var all []byte
		for _, part := range parts {
			all = append(all, part...)
		}
		if err := os.WriteFile(path, all, 0o600); err != nil {
			tb.Fatal(err)
		}
		return path
	}
	s.CA, s.OtherCA = write("ca.pem", ca.cert), write("other.pem", other.cert)
	s.Cert, s.Key = write("client.pem", client.cert), write("client.key", client.key)
	var files []testcontainers.ContainerFile
	for name, path := range map[string]string{
		"ca.pem": s.CA, "broker.pem": write("broker.pem", broker.key, broker.cert, ca.cert),
		"expired.pem": write("expired.pem", expired.key, expired.cert, ca.cert),
	} {
		const readable = 0o644
		files = append(files, testcontainers.ContainerFile{HostFilePath: path, ContainerFilePath: folder + name, FileMode: readable})
	}
	return files
}

// identity is a certificate and its key, in PEM.
type identity struct {
	cert, key []byte
	parsed    *x509.Certificate
	private   *ecdsa.PrivateKey
}

func newAuthority(tb testing.TB, name string) *identity {
	tb.Helper()
	return issue(tb, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil)
}

func (a *identity) sign(tb testing.TB, name string, until time.Time, addrs ...net.IP) *identity {
	tb.Helper()
	return issue(tb, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotAfter: until, IPAddresses: addrs,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a)
}

func issue(tb testing.TB, template *x509.Certificate, by *identity) *identity {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore = time.Now().AddDate(0, -1, 0)
	id := &identity{private: key}
	if by == nil {
		by = &identity{parsed: template, private: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.parsed, &key.PublicKey, by.private)
	if err != nil {
		tb.Fatal(err)
	}
	if id.parsed, err = x509.ParseCertificate(der); err != nil {
		tb.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	id.cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	id.key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	return id
}
