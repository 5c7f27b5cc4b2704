// Package server answers.
package server

import (
	"fmt"
	log "github.com/sirupsen/logrus"
	"gopkg.in/yaml/v3"
)

const Port = 80

var (
	debug bool
	names = []string{}
)

// Server answers requests. It has no state.
type Server struct {
	http.Handler
	Name string
}

type Handler interface {
	Serve(w Writer) error
}

// Run starts it.
func (s *Server) Run(port int) error {
	log.Info("up")
	return s.listen(fmt.Sprint(port))
}

func newServer() *Server { return &Server{Name: "x"} }
