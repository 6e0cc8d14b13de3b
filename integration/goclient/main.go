// Goclient is a program that knows nothing of a sidecar: it prints what a URL
// answers. What it does with proxies and CAs is what net/http does by itself.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	res, err := http.Get(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer res.Body.Close()
	fmt.Println(res.StatusCode)
	if _, err := io.Copy(os.Stdout, res.Body); err != nil {
		os.Exit(1)
	}
}
