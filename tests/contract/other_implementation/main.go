// Another implementation's opinion: the packages of Go's checksum database judge and make checkpoints and proofs.
//
// Reads a list of questions as JSON from standard input and writes as many answers. Trees, tiles, proofs and notes are
// all theirs (golang.org/x/mod/sumdb). They have no cosignatures: what is here of those is read from C2SP's
// tlog-cosignature, and from nothing of ours.
package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	tileHeight   = 8
	cosigns      = 4 // the kind of a witness's key
	timeBytes    = 8
	cosignPrefix = "cosignature/v1\ntime %d\n%s"
)

type Question struct {
	Ask string `json:"ask"`

	// open, sign
	Note      string   `json:"note"`
	Keys      []string `json:"keys"`
	Name      string   `json:"name"`
	Cosigner  string   `json:"cosigner"`
	Timestamp uint64   `json:"timestamp"`

	// inclusion, consistency
	Size    int64       `json:"size"`
	Root    tlog.Hash   `json:"root"`
	Index   int64       `json:"index"`
	Leaf    tlog.Hash   `json:"leaf"`
	Old     int64       `json:"old"`
	OldRoot tlog.Hash   `json:"old_root"`
	Proof   []tlog.Hash `json:"proof"`

	// tree, tiles
	Leaves int64   `json:"leaves"`
	Sizes  []int64 `json:"sizes"`
	Folder string  `json:"folder"`
	At     []int64 `json:"at"`
}

type Answer struct {
	Refused     string           `json:"refused,omitempty"`
	Text        string           `json:"text,omitempty"`
	Signed      []string         `json:"signed,omitempty"`
	Times       map[string]int64 `json:"times,omitempty"`
	Origin      string           `json:"origin,omitempty"`
	Size        int64            `json:"size,omitempty"`
	Root        *tlog.Hash       `json:"root,omitempty"`
	Note        string           `json:"note,omitempty"`
	Keys        []string         `json:"keys,omitempty"`
	Roots       []tlog.Hash      `json:"roots,omitempty"`
	Inclusion   [][]tlog.Hash    `json:"inclusion,omitempty"`
	Consistency [][]tlog.Hash    `json:"consistency,omitempty"`
}

func main() {
	var questions []Question
	if err := json.NewDecoder(os.Stdin).Decode(&questions); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	answers := make([]Answer, len(questions))
	for i, question := range questions {
		answer, err := question.answer()
		if err != nil {
			answer = Answer{Refused: err.Error()}
		}
		answers[i] = answer
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (q Question) answer() (Answer, error) {
	switch q.Ask {
	case "open":
		return q.open()
	case "sign":
		return q.sign()
	case "inclusion":
		return Answer{}, tlog.CheckRecord(q.Proof, q.Size, q.Root, q.Index, q.Leaf)
	case "consistency":
		return Answer{}, tlog.CheckTree(q.Proof, q.Size, q.Root, q.Old, q.OldRoot)
	case "tree":
		return q.tree()
	case "tiles":
		reader := tlog.TileHashReader(tlog.Tree{N: q.Size, Hash: q.Root}, folder(q.Folder))
		return proofs(q.Size, q.At, reader)
	}
	return Answer{}, fmt.Errorf("there is no question %q", q.Ask)
}

// Notes

func (q Question) open() (Answer, error) {
	var verifiers []note.Verifier
	var witnesses []*cosigner
	for _, key := range q.Keys {
		if witness, err := witnessOf(key); err == nil {
			witnesses = append(witnesses, witness)
			verifiers = append(verifiers, witness)
			continue
		}
		verifier, err := note.NewVerifier(key)
		if err != nil {
			return Answer{}, err
		}
		verifiers = append(verifiers, verifier)
	}
	opened, err := note.Open([]byte(q.Note), note.VerifierList(verifiers...))
	if err != nil {
		return Answer{}, err
	}
	answer := Answer{Text: opened.Text, Times: map[string]int64{}}
	for _, signature := range opened.Sigs {
		answer.Signed = append(answer.Signed, signature.Name)
	}
	for _, witness := range witnesses {
		if witness.seen != 0 {
			answer.Times[witness.name] = witness.seen
		}
	}
	answer.Origin, answer.Size, answer.Root, err = checkpoint(opened.Text)
	return answer, err
}

// checkpoint reads the three lines of C2SP's tlog-checkpoint; tlog.ParseTree wants its own first line.
func checkpoint(text string) (string, int64, *tlog.Hash, error) {
	lines := strings.SplitN(text, "\n", 4)
	if len(lines) < 4 || lines[0] == "" {
		return "", 0, nil, errors.New("a checkpoint has three lines")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || strconv.FormatInt(size, 10) != lines[1] || size < 0 {
		return "", 0, nil, fmt.Errorf("%q is no size", lines[1])
	}
	root, err := tlog.ParseHash(lines[2])
	return lines[0], size, &root, err
}

// sign makes the keys of a log, and of a witness if one is named, and signs the text with them.
func (q Question) sign() (Answer, error) {
	secret, public, err := note.GenerateKey(rand.Reader, q.Name)
	if err != nil {
		return Answer{}, err
	}
	log, err := note.NewSigner(secret)
	if err != nil {
		return Answer{}, err
	}
	signers, keys := []note.Signer{log}, []string{public}
	if q.Cosigner != "" {
		witness, key, err := newCosigner(q.Cosigner, q.Timestamp)
		if err != nil {
			return Answer{}, err
		}
		signers, keys = append(signers, witness), append(keys, key)
	}
	signed, err := note.Sign(&note.Note{Text: q.Note}, signers...)
	return Answer{Note: string(signed), Keys: keys}, err
}

// cosigner is a witness: who signs and, with the public key alone, who is known to sign.
type cosigner struct {
	name   string
	public ed25519.PublicKey
	secret ed25519.PrivateKey
	at     uint64
	seen   int64
}

func newCosigner(name string, at uint64) (*cosigner, string, error) {
	public, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, "", err
	}
	c := &cosigner{name: name, public: public, secret: secret, at: at}
	encoded := base64.StdEncoding.EncodeToString(append([]byte{cosigns}, public...))
	return c, fmt.Sprintf("%s+%08x+%s", name, c.KeyHash(), encoded), nil
}

func witnessOf(key string) (*cosigner, error) {
	parts := strings.SplitN(key, "+", 3)
	if len(parts) != 3 {
		return nil, errors.New("a key has three parts")
	}
	raw, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(raw) != 1+ed25519.PublicKeySize || raw[0] != cosigns {
		return nil, errors.New("this is no key of a witness")
	}
	c := &cosigner{name: parts[0], public: raw[1:]}
	if fmt.Sprintf("%08x", c.KeyHash()) != parts[1] {
		return nil, errors.New("the id is another key's")
	}
	return c, nil
}

func (c *cosigner) Name() string { return c.name }

func (c *cosigner) KeyHash() uint32 {
	hashed := sha256.Sum256(append([]byte(c.name+"\n\x04"), c.public...))
	return binary.BigEndian.Uint32(hashed[:])
}

func (c *cosigner) Sign(text []byte) ([]byte, error) {
	signed := make([]byte, timeBytes)
	binary.BigEndian.PutUint64(signed, c.at)
	return append(signed, ed25519.Sign(c.secret, []byte(fmt.Sprintf(cosignPrefix, c.at, text)))...), nil
}

func (c *cosigner) Verify(text, signature []byte) bool {
	if len(signature) != timeBytes+ed25519.SignatureSize {
		return false
	}
	at := binary.BigEndian.Uint64(signature)
	holds := ed25519.Verify(c.public, []byte(fmt.Sprintf(cosignPrefix, at, text)), signature[timeBytes:])
	if holds {
		c.seen = int64(at)
	}
	return holds
}

// Trees

// stored are the hashes of a tree in their order of storage.
type stored []tlog.Hash

func (s stored) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		hashes[i] = s[index]
	}
	return hashes, nil
}

// tree grows one of the leaves "leaf 0", "leaf 1" and so on: its roots at some sizes, proofs in the last, and its tiles
// if there is a folder for them.
func (q Question) tree() (Answer, error) {
	var hashes stored
	roots := map[int64]tlog.Hash{}
	for _, size := range q.Sizes {
		roots[size] = tlog.Hash{}
	}
	for n := int64(0); n < q.Leaves; n++ {
		more, err := tlog.StoredHashes(n, []byte(fmt.Sprintf("leaf %d", n)), hashes)
		if err != nil {
			return Answer{}, err
		}
		hashes = append(hashes, more...)
		if _, wanted := roots[n+1]; wanted {
			if roots[n+1], err = tlog.TreeHash(n+1, hashes); err != nil {
				return Answer{}, err
			}
		}
	}
	if q.Folder != "" {
		if err := folder(q.Folder).write(tlog.NewTiles(tileHeight, 0, q.Leaves), hashes); err != nil {
			return Answer{}, err
		}
	}
	answer, err := proofs(q.Leaves, q.At, hashes)
	for _, size := range q.Sizes {
		answer.Roots = append(answer.Roots, roots[size])
	}
	return answer, err
}

// proofs are of the leaf at each place, and of the tree that ends with it.
func proofs(size int64, at []int64, reader tlog.HashReader) (Answer, error) {
	root, err := tlog.TreeHash(size, reader)
	if err != nil {
		return Answer{}, err
	}
	answer := Answer{Root: &root}
	for _, index := range at {
		inclusion, err := tlog.ProveRecord(size, index, reader)
		if err != nil {
			return Answer{}, err
		}
		consistency, err := tlog.ProveTree(size, index+1, reader)
		if err != nil {
			return Answer{}, err
		}
		answer.Inclusion = append(answer.Inclusion, inclusion)
		answer.Consistency = append(answer.Consistency, consistency)
	}
	return answer, nil
}

// folder holds tiles at the paths that C2SP's tlog-tiles gives them: those of Go without the height.
type folder string

func (f folder) Height() int { return tileHeight }

func (f folder) path(tile tlog.Tile) string {
	path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", tileHeight), "tile/", 1)
	return filepath.Join(string(f), path)
}

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var data [][]byte
	for _, tile := range tiles {
		read, err := os.ReadFile(f.path(tile))
		if err != nil {
			return nil, err
		}
		data = append(data, read)
	}
	return data, nil
}

func (f folder) SaveTiles([]tlog.Tile, [][]byte) {}

func (f folder) write(tiles []tlog.Tile, reader tlog.HashReader) error {
	for i, tile := range tiles {
		if i+1 < len(tiles) && tiles[i+1].L == tile.L && tiles[i+1].N == tile.N {
			continue // a narrower one, of the tree when it was smaller
		}
		data, err := tlog.ReadTileData(tile, reader)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(f.path(tile)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(f.path(tile), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
