#!/usr/bin/env bash
# tokenize: text to ids and back, prompts and completions, messages; the same bytes on
# any number of ranks; no model is needed.
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
golden=$here/tests/golden
cp -r "$golden/chat/bytes" model # a tokenizer and nothing else
cp "$golden/chat/chatml.jinja" model/chat_template.jinja

# --- golden ids, through the whole command ---
for name in byte_level llama2_legacy; do
	tokenizer=$golden/tokenizers/$name
	sed -E 's/.*"ids":(\[[^]]*\]).*/{"input_ids":\1}/' "$tokenizer/golden.jsonl" >expected
	"$RLHF" tokenize --model "$tokenizer" --input "$golden/tokenizers/texts.jsonl" >ids
	cmp ids expected || fail "$name: other ids"
	for ranks in 1 3; do
		on $ranks "$RLHF" tokenize --model "$tokenizer" --input "$golden/tokenizers/texts.jsonl" \
			--output ids.$ranks
		cmp ids ids.$ranks || fail "$name on $ranks ranks: other bytes"
	done
	"$RLHF" tokenize --model "$tokenizer" --input ids --decode --output texts
	"$RLHF" tokenize --model "$tokenizer" --input ids --decode --no-special --output plain
	cmp -s texts plain && fail "$name: --no-special changed no text"
	[ "$(wc -l <plain)" -eq "$(wc -l <ids)" ] || fail "$name: lines are lost"
done

# same EXPECTED ARGUMENTS...: the one line of output for the one line of input
same() {
	local expected=$1
	shift
	"$RLHF" tokenize --model model --input - "$@" >out 2>log || fail "$*: $(cat log)"
	[ "$(cat out)" = "$expected" ] || fail "$*: $(cat out), expected $expected"
}

# --- the other rows; a and b are ids 97 and 98, <|im_start|> 400, <|im_end|> 401 ---
same '{"input_ids":[97,98],"prompt_length":1}' <<<'{"prompt": "a", "completion": "b"}'
same '{"input_ids":[97]}' <<<'{"prompt": "a"}'
same '{"input_ids":[]}' <<<'{"text": ""}'
same '{"text":"a<|im_end|>"}' --decode <<<'{"input_ids": [97, 401]}'
same '{"text":"a"}' --decode --no-special <<<'{"input_ids": [97, 401]}'
ids=$(echo '{"messages": [{"role": "user", "content": "a"}]}' | "$RLHF" tokenize --model model --input -)
same '{"text":"<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n"}' --decode <<<"$ids"
echo '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}' |
	"$RLHF" tokenize --model model --input - >out
grep -qE '^\{"input_ids":\[400,.*,98,401\],"labels":\[-100,.*-100,98,401\]\}$' out || fail "labels: $(cat out)"

# --- gzip: the same bytes, whatever the name; what is damaged is refused below ---
texts=$golden/tokenizers/texts.jsonl
"$RLHF" tokenize --model model --input "$texts" >plain
{ head -n 3 "$texts" | gzip -c && tail -n +4 "$texts" | gzip -c; } >packed.jsonl
"$RLHF" tokenize --model model --input packed.jsonl >unpacked
cmp plain unpacked || fail 'gzip: other bytes'
"$RLHF" tokenize --model model --input - <packed.jsonl >unpacked
cmp plain unpacked || fail 'gzip on standard input: other bytes'
"$RLHF" tokenize --model model --input <(gzip -c "$texts") >unpacked
cmp plain unpacked || fail 'a pipe: other bytes'
gzip -c "$golden/tokenizers/training.txt" >training.txt.gz
gzip -c "$texts" >texts.jsonl.gz
cp "$texts" no-name
"$RLHF" tokenizer-train --input no-name --vocab-size 300 --output words 2>log
grep -q 'warning: no-name: looks like lines of JSON' log || fail "no warning: $(cat log)"
for file in "$golden/tokenizers/training.txt" "$texts"; do
	"$RLHF" tokenizer-train --input "$file" --vocab-size 300 --output words 2>log
	"$RLHF" tokenizer-train --input "${file##*/}.gz" --vocab-size 300 --output words-gz 2>log
	diff -r words words-gz || fail "tokenizer-train on ${file##*/}.gz: other bytes"
done
# As tables are exported: a column that a row has not is null.
awk '{ printf "{\"text\":\"%s\",\"prompt\":null}\n{\"text\":null,\"prompt\":\"%s\"}\n", $1, $2 }' \
	<<<$'table tables\nstable stables' >null.jsonl
sed 's/,"prompt":null//; s/"text":null,//' null.jsonl >plain.jsonl
for rows in null plain; do
	"$RLHF" tokenizer-train --input $rows.jsonl --vocab-size 260 --output words-$rows 2>log ||
		fail "tokenizer-train on $rows.jsonl: $(cat log)"
done
diff -r words-null words-plain || fail 'tokenizer-train: null is not nothing'

# --- refusals ---
refused() { # PATTERN ARGUMENTS...
	local pattern=$1 rc=0
	shift
	"$RLHF" tokenize --model model --input - "$@" >out 2>log || rc=$?
	[ $rc -eq 2 ] || fail "exit $rc, expected 2: $*"
	grep -qE "^rlhf: error: .*$pattern" log || fail "no \"$pattern\": $*: $(cat log)"
}
refused 'standard input: gzip data that ends early, after 30 bytes' < <(head -c 30 packed.jsonl)
refused 'standard input: line 1: "text" is a number, expected a string' <<<'{"text": 1}'
refused 'standard input: line 2: expected "text", "prompt"' <<<$'{"text": ""}\n{"texts": ""}'
refused '"input_ids"\[0\] is 421, expected an id from 0 to 418' --decode <<<'{"input_ids": [421]}'
refused '"input_ids" is missing' --decode <<<'{"text": ""}'
refused 'line 1: "messages": turn 1: role "robot"' <<<'{"messages": [{"role": "robot", "content": ""}]}'
refused 'line 1: "messages": turn 1: role "user' \
	<<<'{"messages": [{"role": "user\u0000x", "content": ""}]}'
refused 'chat format "chatlm" is not known, expected auto or one of chatml' --chat chatlm <<<'{"text": ""}'
rm model/chat_template.jinja
refused 'model has no chat template; name the chat format: chatml' \
	<<<'{"messages": [{"role": "user", "content": "a"}]}'
# A name of standard output is it, also where that is a file.
ln -s /proc/self/fd/1 standard
echo '{"text": "a"}' | "$RLHF" tokenize --model model --input - --output standard >out
[ "$(cat out)" = '{"input_ids":[97]}' ] || fail "--output to a link to standard output: $(cat out)"
[ -L standard ] || fail 'a link to standard output was replaced'
# A link to nothing is not a file that is not there.
ln -s nowhere nothing
refused 'nothing: is a link to nothing, expected a file' --output nothing <<<'{"text": ""}'
[ -L nothing ] || fail 'a link to nothing was replaced'
ln -s nowhere model/added_tokens.json
refused 'model/added_tokens.json: cannot open' <<<'{"text": ""}'
rm model/added_tokens.json
rm model/tokenizer.json
refused 'model/tokenizer.json' <<<'{"text": ""}'

# --- a checkpoint with SentencePiece's tokenizer.model alone ---
cp -r "$golden/sentencepiece/llama" pieces
rm pieces/golden.jsonl
sed 's/,"decoded".*/}/' "$golden/sentencepiece/llama/golden.jsonl" >rows.jsonl
"$RLHF" tokenize --model pieces --input rows.jsonl >ids 2>log || fail "tokenizer.model: $(cat log)"
sed 's/.*"ids":/{"input_ids":/' rows.jsonl | diff - ids >log || fail "tokenizer.model: $(head -4 log)"
[ "$(wc -l <ids)" -gt 200 ] || fail 'tokenizer.model: few rows'

# --- tokens beside tokenizer.json get the next free ids, whatever is said; the specials of a text ---
cp -r "$golden/chat/bytes" beside
printf '%s\n' '{"added_tokens_decoder": {"900": {"content": "<there>"}}, "pad_token": "<pad>",' \
	'"additional_special_tokens": ["<a-one>"]}' >beside/tokenizer_config.json
echo '{"text": "a<there><a-one><pad>b"}' >line
"$RLHF" tokenize --model beside --input line >ids 2>log || fail "$(cat log)"
[ "$(cat ids)" = '{"input_ids":[97,419,421,420,98]}' ] || fail "tokens beside: $(cat ids)"
grep -q 'warning: tokenizer_config.json gives "<there>" the id 900; it gets the next free one, 419' log ||
	fail "no word of another id: $(cat log)"
echo '{"<where>": 5}' >beside/added_tokens.json
rm beside/tokenizer_config.json
"$RLHF" tokenize --model beside --input line >ids 2>log || fail "$(cat log)"
grep -q 'warning: added_tokens.json gives "<where>" the id 5; it gets the next free one, 419' log ||
	fail "another file is named: $(cat log)"
rm beside/added_tokens.json
echo '{"split_special_tokens": true}' >beside/tokenizer_config.json
echo '{"text": "<|im_end|>"}' | "$RLHF" tokenize --model beside --input - >ids 2>log || fail "$(cat log)"
! grep -q 401 ids || fail "split_special_tokens is not heeded: $(cat ids)"
