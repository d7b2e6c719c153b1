package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
)

// answer is what one run of a question found; a line of the file of --answers.
type answer struct {
	Where string   `json:"where"` // http or store
	Name  string   `json:"question"`
	Run   int      `json:"run"`
	Found []string `json:"found"`
}

// answerFile takes answers; nil takes none.
type answerFile struct {
	file *os.File
	w    *bufio.Writer
}

func (b *bench) openAnswers() error {
	if b.Answers == "" {
		return nil
	}
	f, err := os.Create(b.Answers)
	if err != nil {
		return err
	}
	b.answers = &answerFile{f, bufio.NewWriter(f)}
	return nil
}

func (b *bench) closeAnswers() error {
	if b.answers == nil {
		return nil
	}
	return errors.Join(b.answers.w.Flush(), b.answers.file.Close())
}

func (a *answerFile) add(line answer) error {
	if a == nil {
		return nil
	}
	return json.NewEncoder(a.w).Encode(line)
}
