// What applications do with nats.go, against the server named by the environment.
//
// NATS_URL is a server without credentials, NATS_AUTH_URL one that wants ann/secret, RESTART a
// shell command that restarts the first. With SECURE it is about TLS and keys instead: see
// secure.go. The last line is "N passed, N failed".
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

const patience = 5 * time.Second

var url = os.Getenv("NATS_URL")

type test struct {
	name string
	run  func()
}

// check ends the test with what was wrong.
func check(ok bool, format string, args ...any) {
	if !ok {
		panic(fmt.Sprintf(format, args...))
	}
}

func must(err error) {
	check(err == nil, "%v", err)
}

func connect(options ...nats.Option) *nats.Conn {
	connection, err := nats.Connect(url, options...)
	must(err)
	return connection
}

func subscribe(connection *nats.Conn, subject string) *nats.Subscription {
	subscription, err := connection.SubscribeSync(subject)
	must(err)
	return subscription
}

func next(subscription *nats.Subscription) *nats.Msg {
	message, err := subscription.NextMsg(patience)
	must(err)
	return message
}

func nothingMore(subscription *nats.Subscription) {
	message, err := subscription.NextMsg(100 * time.Millisecond)
	check(errors.Is(err, nats.ErrTimeout), "unexpected %v %v", message, err)
}

func publishAndSubscribe() {
	publisher, listener := connect(), connect()
	defer publisher.Close()
	defer listener.Close()
	exact, pattern := subscribe(listener, "news.sport"), subscribe(listener, "news.>")
	other := subscribe(listener, "news.*.more")
	must(listener.Flush())
	for i := range 1000 {
		must(publisher.Publish("news.sport", []byte(strconv.Itoa(i))))
	}
	for i := range 1000 {
		for _, subscription := range []*nats.Subscription{exact, pattern} {
			got := string(next(subscription).Data)
			check(got == strconv.Itoa(i), "message %d is %s", i, got)
		}
	}
	nothingMore(exact)
	nothingMore(other)
}

func requestAndReply() {
	asker, answerer := connect(), connect()
	defer asker.Close()
	defer answerer.Close()
	_, err := answerer.Subscribe("double", func(m *nats.Msg) {
		_ = m.Respond(bytes.Repeat(m.Data, 2))
	})
	must(err)
	must(answerer.Flush())
	for i := range 200 {
		text := strconv.Itoa(i)
		reply, err := asker.Request("double", []byte(text), patience)
		must(err)
		check(string(reply.Data) == text+text, "reply to %s is %s", text, reply.Data)
	}
}

func queueGroups() {
	const members, messages = 6, 1200
	counts, seen := [members]atomic.Int32{}, [messages]atomic.Int32{}
	for i := range members {
		connection := connect()
		defer connection.Close()
		_, err := connection.QueueSubscribe("work", "workers", func(m *nats.Msg) {
			number, _ := strconv.Atoi(string(m.Data))
			counts[i].Add(1)
			seen[number].Add(1)
		})
		must(err)
		must(connection.Flush())
	}
	publisher := connect()
	defer publisher.Close()
	for i := range messages {
		must(publisher.Publish("work", []byte(strconv.Itoa(i))))
	}
	must(publisher.Flush())
	total := func() (sum int32) {
		for i := range counts {
			sum += counts[i].Load()
		}
		return sum
	}
	for end := time.Now().Add(patience); total() < messages && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond)
	check(total() == messages, "%d messages came", total())
	for i := range seen {
		check(seen[i].Load() == 1, "message %d came %d times", i, seen[i].Load())
	}
	for i := range counts {
		check(counts[i].Load() > messages/members/2, "member %d got %d", i, counts[i].Load())
	}
}

func headers() {
	publisher, listener := connect(), connect()
	defer publisher.Close()
	defer listener.Close()
	subscription := subscribe(listener, "with.headers")
	must(listener.Flush())
	message := nats.NewMsg("with.headers")
	message.Data = []byte("body")
	message.Header.Set("Colour", "red")
	message.Header.Add("Tag", "one")
	message.Header.Add("Tag", "two words")
	must(publisher.PublishMsg(message))
	got := next(subscription)
	check(string(got.Data) == "body", "body is %s", got.Data)
	check(fmt.Sprint(got.Header) == fmt.Sprint(message.Header), "headers are %v", got.Header)
}

func noResponders() {
	connection := connect()
	defer connection.Close()
	_, err := connection.Request("nobody.home", []byte("hi"), patience)
	check(errors.Is(err, nats.ErrNoResponders), "error is %v", err)
}

func drain() {
	publisher, listener := connect(), connect()
	defer publisher.Close()
	var count atomic.Int32
	closed := make(chan struct{})
	listener.SetClosedHandler(func(*nats.Conn) { close(closed) })
	_, err := listener.Subscribe("drained", func(*nats.Msg) {
		time.Sleep(time.Millisecond)
		count.Add(1)
	})
	must(err)
	must(listener.Flush())
	for range 300 {
		must(publisher.Publish("drained", []byte("x")))
	}
	must(publisher.Flush())
	// A round trip on the listener's connection brings in what was sent to it before.
	must(listener.Flush())
	time.Sleep(50 * time.Millisecond)
	must(listener.Drain())
	select {
	case <-closed:
	case <-time.After(patience):
		panic("drain does not end")
	}
	check(count.Load() == 300, "%d of 300 came", count.Load())
}

func unsubscribeAfter() {
	publisher, listener := connect(), connect()
	defer publisher.Close()
	defer listener.Close()
	five, all := subscribe(listener, "count"), subscribe(listener, "count")
	must(five.AutoUnsubscribe(5))
	must(listener.Flush())
	for i := range 10 {
		must(publisher.Publish("count", []byte(strconv.Itoa(i))))
	}
	for i := range 10 {
		check(string(next(all).Data) == strconv.Itoa(i), "wrong order")
	}
	for range 5 {
		next(five)
	}
	_, err := five.NextMsg(100 * time.Millisecond)
	check(errors.Is(err, nats.ErrMaxMessages), "error is %v", err)
	must(all.Unsubscribe())
	must(listener.Flush())
}

func largestPayload() {
	publisher, listener := connect(), connect()
	defer publisher.Close()
	defer listener.Close()
	check(publisher.MaxPayload() == 1<<20, "max payload is %d", publisher.MaxPayload())
	subscription := subscribe(listener, "large")
	must(listener.Flush())
	payload := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	must(publisher.Publish("large", payload))
	check(bytes.Equal(next(subscription).Data, payload), "the payload was changed")
	err := publisher.Publish("large", append(payload, 'x'))
	check(errors.Is(err, nats.ErrMaxPayload), "error is %v", err)
}

func flushOrder() {
	publisher := connect()
	defer publisher.Close()
	for i := range 100 {
		listener := connect()
		subject := fmt.Sprintf("fresh.%d", i)
		subscription := subscribe(listener, subject)
		must(listener.Flush())
		must(publisher.Publish(subject, []byte("hi")))
		next(subscription)
		listener.Close()
	}
}

func restart() {
	reconnected := make(chan struct{}, 1)
	connection := connect(
		nats.ReconnectWait(20*time.Millisecond),
		nats.ReconnectJitter(0, 0),
		nats.MaxReconnects(-1),
		nats.ReconnectHandler(func(*nats.Conn) { reconnected <- struct{}{} }),
	)
	defer connection.Close()
	subscription := subscribe(connection, "again")
	must(connection.Flush())
	output, err := exec.Command("sh", "-c", os.Getenv("RESTART")).CombinedOutput()
	check(err == nil, "restart: %v %s", err, output)
	select {
	case <-reconnected:
	case <-time.After(patience):
		panic("not connected again")
	}
	must(connection.Flush())
	must(connection.Publish("again", []byte("hi")))
	check(string(next(subscription).Data) == "hi", "another message")
}

func credentials() {
	server := os.Getenv("NATS_AUTH_URL")
	connection, err := nats.Connect(server, nats.UserInfo("ann", "secret"))
	must(err)
	must(connection.Flush())
	connection.Close()
	_, err = nats.Connect(server, nats.UserInfo("ann", "wrong"))
	check(errors.Is(err, nats.ErrAuthorization), "wrong password: %v", err)
	_, err = nats.Connect(server)
	check(errors.Is(err, nats.ErrAuthorization), "no password: %v", err)
}

// keys has the connection signed by a seed from a file, as a program does it.
func keys() {
	server := os.Getenv("NATS_AUTH_URL")
	dial := func(seed string) error {
		file, err := os.CreateTemp("", "seed")
		must(err)
		defer os.Remove(file.Name())
		_, err = file.WriteString(seed)
		must(err)
		must(file.Close())
		option, err := nats.NkeyOptionFromSeed(file.Name())
		must(err)
		connection, err := nats.Connect(server, option)
		if err != nil {
			return err
		}
		defer connection.Close()
		return connection.Flush()
	}
	must(dial("SUAMX7SLAPHXB7Z57KQF4TVZAYLWKDOHUUTJ4GS6ZE72IW7EYLZDM2YVN4"))
	err := dial("SUAIPW2A7OUIZ34J4ONUPNQMOQFO3UYVF33TQNJ2GNVS62EWNG4LORB5YE")
	check(errors.Is(err, nats.ErrAuthorization), "another key: %v", err)
}

// passes runs one test and says how it went.
func passes(t test) (passed bool) {
	defer func() {
		if reason := recover(); reason != nil {
			fmt.Printf("FAILED %s: %v\n", t.name, reason)
			passed = false
		}
	}()
	t.run()
	fmt.Printf("ok %s\n", t.name)
	return true
}

func main() {
	tests := []test{
		{"publish and subscribe", publishAndSubscribe},
		{"request and reply", requestAndReply},
		{"queue groups", queueGroups},
		{"headers", headers},
		{"no responders", noResponders},
		{"drain", drain},
		{"unsubscribe after", unsubscribeAfter},
		{"largest payload", largestPayload},
		{"flush order", flushOrder},
		{"restart", restart},
		{"credentials", credentials},
		{"keys", keys},
	}
	if secure != "" {
		tests = secureTests
	}
	failed := 0
	for _, t := range tests {
		if !passes(t) {
			failed++
		}
	}
	fmt.Printf("%d passed, %d failed\n", len(tests)-failed, failed)
	if failed > 0 {
		os.Exit(1)
	}
}
