package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/caddy-convoai/convoai/simulator"
)

// arrival is a call as an upstream has seen it.
type arrival struct {
	Operation string `json:"operation"`
	Name      string `json:"name"` // in the body of a join
	Status    int    `json:"status"`
}

// serve is an upstream on port 8080, and with a certificate on 8443 as well. It
// says who it is in X-Upstream.
func serve(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("upstream", flag.ContinueOnError)
	name := flags.String("name", "", "what X-Upstream says")
	certificate := flags.String("certificate", "", "PEM file")
	key := flags.String("key", "", "PEM file")
	if err := flags.Parse(args); err != nil {
		return err
	}
	api, err := simulator.New(simulator.Options{
		Projects:  []simulator.Project{{AppID: os.Getenv("AGORA_APP_ID"), AppCertificate: os.Getenv("AGORA_APP_CERTIFICATE")}},
		Quota:     -1,
		KeepCalls: -1,
		OnCall: func(c simulator.Call) {
			var body struct {
				Name string `json:"name"`
			}
			_ = json.Unmarshal(c.Body, &body)
			print(arrival{Operation: c.Operation, Name: body.Name, Status: c.Status})
		},
	})
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Upstream", *name)
			api.ServeHTTP(w, r)
		}),
		ErrorLog: log.New(io.Discard, "", 0),
	}
	pair, err := tls.LoadX509KeyPair(*certificate, *key)
	if err != nil {
		return err
	}
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}}
	plain, err := net.Listen("tcp", ":8080")
	if err != nil {
		return err
	}
	secure, err := net.Listen("tcp", ":8443")
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	ended := make(chan error, 2)
	go func() { ended <- server.Serve(plain) }()
	go func() { ended <- server.ServeTLS(secure, "", "") }()
	if err := <-ended; ctx.Err() == nil {
		return err
	}
	return nil
}
