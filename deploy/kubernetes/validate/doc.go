// Package validate holds the tests of the manifests beside it.
package validate
