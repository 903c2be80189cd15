package main

import (
	"bytes"
	"os"
	"path/filepath"

	"github.com/nats-io/nats.go"
)

// secure is the folder that secure.sh made.
var secure = os.Getenv("SECURE")

func made(name string) string { return filepath.Join(secure, name) }

func trusts() nats.Option { return nats.RootCAs(made("ca.pem")) }

func shows(name string) nats.Option {
	return nats.ClientCert(made(name+".pem"), made(name+".key"))
}

// enters has two clients talk to each other in messages of all sizes.
func enters(server string, options ...nats.Option) {
	dial := func() *nats.Conn {
		connection, err := nats.Connect(os.Getenv(server), options...)
		must(err)
		return connection
	}
	asks, answers := dial(), dial()
	defer asks.Close()
	defer answers.Close()
	_, err := answers.Subscribe("echo", func(message *nats.Msg) { must(message.Respond(message.Data)) })
	must(err)
	must(answers.Flush())
	for _, size := range []int{0, 1, 16 << 10, 16<<10 + 1, 500_000} {
		sent := bytes.Repeat([]byte{'x'}, size)
		answer, err := asks.Request("echo", sent, patience)
		must(err)
		check(bytes.Equal(answer.Data, sent), "%d bytes of %d", len(answer.Data), size)
	}
}

func refused(server string, options ...nats.Option) {
	connection, err := nats.Connect(os.Getenv(server), options...)
	if err == nil {
		connection.Close()
	}
	check(err != nil, "%s lets in who may not", server)
}

var secureTests = []test{
	{"tls", func() {
		enters("NATS_PLAIN_URL", trusts(), nats.UserInfo("ann", "secret"))
		refused("NATS_PLAIN_URL", trusts(), nats.UserInfo("ann", "wrong"))
		refused("NATS_PLAIN_URL", nats.UserInfo("ann", "secret"))
	}},
	{"key", func() {
		option, err := nats.NkeyOptionFromSeed(made("user.seed"))
		must(err)
		enters("NATS_PLAIN_URL", trusts(), option)
	}},
	{"handshake first", func() {
		enters("NATS_FIRST_URL", trusts(), nats.TLSHandshakeFirst())
		refused("NATS_FIRST_URL", trusts())
	}},
	{"certificate", func() {
		enters("NATS_MUTUAL_URL", trusts(), shows("client"))
		refused("NATS_MUTUAL_URL", trusts())
		refused("NATS_MUTUAL_URL", trusts(), shows("stranger"))
	}},
	{"user of a certificate", func() { enters("NATS_MAPPED_URL", trusts(), shows("client")) }},
	{"credentials", func() {
		enters("NATS_OPERATOR_URL", trusts(), nats.UserCredentials(made("user.creds")))
		refused("NATS_OPERATOR_URL", trusts())
	}},
}
