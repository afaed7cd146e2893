package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// rule flags a message that has one of its words in its text, media of one of its kinds, or one of its senders.
type rule struct {
	Name string `json:"name"`
	// Words are looked for anywhere in the text, whatever their case.
	Words []string `json:"words"`
	// Media are image, voice, file and video.
	Media   []string `json:"media"`
	Senders []string `json:"senders"`
}

// readRules reads a file of rules: a JSON list, as rules.json next to this file.
func readRules(name string) ([]rule, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the rules: %w", err)
	}
	rules, err := parseRules(text)
	if err != nil {
		return nil, fmt.Errorf("read the rules %s: %w", name, err)
	}
	return rules, nil
}

func parseRules(text []byte) ([]rule, error) {
	var rules []rule
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields() // A rule that is misspelt would flag nothing.
	if err := d.Decode(&rules); err != nil {
		return nil, fmt.Errorf(`%w; want a list as in [{"name":"spam","words":["free"],"media":["video"],"senders":["user_1"]}]`, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows after the list")
	}
	var errs []error
	for i := range rules {
		r := &rules[i]
		switch {
		case r.Name == "":
			errs = append(errs, fmt.Errorf("rule %d has no name", i+1))
		case len(r.Words)+len(r.Media)+len(r.Senders) == 0:
			errs = append(errs, fmt.Errorf("rule %q has neither words nor media nor senders", r.Name))
		case slices.Contains(r.Words, "") || slices.Contains(r.Senders, ""):
			errs = append(errs, fmt.Errorf("rule %q has an empty word or sender, which would flag everything or nothing", r.Name))
		}
		for _, kind := range r.Media {
			if !slices.Contains([]string{"image", "voice", "file", "video"}, kind) {
				errs = append(errs, fmt.Errorf("rule %q: media is image, voice, file or video, not %q", r.Name, kind))
			}
		}
		for j, word := range r.Words {
			r.Words[j] = strings.ToLower(word)
		}
	}
	if len(rules) == 0 {
		errs = append(errs, errors.New("there are none"))
	}
	return rules, errors.Join(errs...)
}

// message is what rules look at; docs/events.md has the whole event.
type message struct {
	ConversationID string `json:"conversation_id"`
	From           struct {
		ID string `json:"id"`
	} `json:"from"`
	Text  string `json:"text"`
	Media []struct {
		Kind string `json:"kind"`
	} `json:"media"`
}

// flagged returns the names of the rules that the message breaks.
func flagged(rules []rule, m *message) []string {
	var names []string
	text := strings.ToLower(m.Text)
	for i := range rules {
		if rules[i].breaks(m, text) {
			names = append(names, rules[i].Name)
		}
	}
	return names
}

func (r *rule) breaks(m *message, text string) bool {
	for _, word := range r.Words {
		if strings.Contains(text, word) {
			return true
		}
	}
	for _, media := range m.Media {
		if slices.Contains(r.Media, media.Kind) {
			return true
		}
	}
	return slices.Contains(r.Senders, m.From.ID)
}
