#!/usr/bin/env python3
"""What Jinja, as transformers sets it up, makes of small templates.

Made with transformers 5.24.0, jinja2 3.1.6 and Python 3.11.7:
    python tests/golden/make_jinja.py

jinja.jsonl: a template and its text; none where it raises an exception, is no template, or
uses what common/text/jinja.c does not support.  The conversation is MESSAGES, which
tests/unit/common/text/test_jinja.c has too.
"""
import json
from pathlib import Path

import jinja2
from transformers.utils.chat_template_utils import _compile_jinja_template

MESSAGES = [{"role": "system", "content": " Be short.\n"}, {"role": "user", "content": "Hé <b> \"x\""},
            {"role": "assistant", "content": "<think>\nhm\n</think>\n\nYes"}, {"role": "user", "content": ""}]

TEMPLATES = [
    # white space around tags
    "a\n{% if true %}\n  b\n{% endif %}\nc\n", "a {%- if true -%} b {%- endif -%} c", "  {% if true %}x{% endif %}  {% if true %}y{% endif %}\n\n",
    "{{ 'a' }}\n{{ 'b' }}\n", "{{ 'a' -}}\n  {{- 'b' }} c", "\n{% set x = 1 %}\n{{ x }}\n\n", "a{# note #}\nb {#- note -#} c", "x\n    {# note #}\ny",
    "\t{% if true %}\tx\n\t{% endif %}\n", "{{ 'a' }}   {% if true %}b{% endif %}", "{%- if true %}\n\n  z\n{%- endif %}\n\n\n", "a\r\n{% if true %}\r\nb\r\n{% endif %}\r\nc",
    "{{ '%}' }}{{ '}}' }}{{ \"{{ 'q' }}\" }}", "{{ {'a': {'b': 'c'}}['a']['b'] }}", "plain", "", "{{ }}", "{{ 'a' ", "{% if true %}", "{% endif %}", "{% else %}", "{{ 'a }}",
    "a\u3000\x85{%- if true -%}\xa0\x1cb{% endif %}\u2028{{- 'c' -}}\u2003d", "\n\u3000 {% if true %}x\n\xa0{# note #}\ny{% endif %}", "a{#-#} b", "a{#--#} b", "a{%", "a{{", "a{ {% if true %}b{% endif %}",
    # literals and operators
    r"{{ 'a\nb\tc\\d\'e' }}", "{{ 'a' 'b' \"c\" }}", "{{ 1 + 2 * 3 - 4 }}", "{{ 7 // 2 }}{{ -7 // 2 }}{{ 7 % 3 }}{{ -7 % 3 }}", "{{ 'a' ~ 1 ~ none ~ true }}",
    "{{ 'a' + 'b' | upper }}", "{{ ('a' + 'b') | upper }}", "{{ 1 == 1.0 }}", "{{ 1 < 2 }}{{ 2 <= 1 }}{{ 'a' == 'a' }}{{ 'a' != 'b' }}{{ none == false }}", "{{ true == 1 }}",
    "{{ not true }}{{ not not 1 }}{{ not '' }}", "{{ 1 and 2 }}{{ 0 or 'x' }}{{ '' and nope.x }}{{ 1 or nope.x }}", "{{ 'x' if true else nope.y }}{{ nope.y if false else 'z' }}",
    "{{ 'x' if false }}", "{{ 'b' in 'abc' }}{{ 'd' not in 'abc' }}{{ 2 in [1, 2] }}{{ 'role' in messages[0] }}{{ 'tool_calls' in messages[0] }}",
    "{{ (1, 2)[1] }}{{ [1, 2, 3][-1] }}{{ [1, 2, 3][5] }}", "{{ 'Hé!'[1] }}{{ 'Hé!'[1:] }}{{ 'Hé!'[:-1] }}", "{{ 1 + 'a' }}", "{{ 'a' + none }}", "{{ nope }}", "{{ nope.x }}",
    "{{ messages[0].nope }}", "{{ messages[9] }}", "{{ messages[9].role }}", "{{ 1 // 0 }}", "{{ 'a' * 3 }}", "{{ 2 ** 3 }}", "{{ 1 if 1 if 1 else 0 else 2 }}", "{{ a.b.c if a is defined else 'no' }}",
    "{{ 3 - 1 - 1 }}", "{{ 1 < 2 and 2 < 3 }}", "{{ 'ab' is string and not 'ab' is none }}", "{{ 1 is not none }}", "{{ nope is undefined }}{{ messages is iterable }}{{ messages[0] is mapping }}",
    "{{ 'x' is iterable }}{{ 1 is number }}{{ true is boolean }}{{ none is none }}{{ messages is sequence }}{{ true is true }}{{ 1 is true }}", "{{ messages == messages }}{{ messages[0] == messages[1] }}",
    "{{ none }}{{ true }}{{ false }}{{ None }}{{ True }}", "{{ -1 }}{{ - 1 + 2 }}",
    # filters and methods
    "[{{ messages[0].content | trim }}]", "[{{ messages[0]['content'].strip() }}]", "[{{ ' xax '.strip(' x') }}]", "[{{ '\u3000a\x1c'.strip() }}]", "{{ '\n\na\n'.lstrip('\n') }}|", "{{ 'a\n\n'.rstrip('\n') }}|",
    "{{ messages | length }}{{ 'Hé' | length }}{{ nope | length }}{{ messages[0] | length }}", "{{ 'aXb' | lower }}{{ 'aXb'.upper() }}", "{{ \"it's A 2nd dAY\".title() }}{{ 'aB cD'.capitalize() }}{{ 'ZZ' | capitalize }}{{ ''.title() }}{{ 'user'.title() }}", "{{ 'a,b,,c'.split(',') | join('-') }}", "{{ 'a</t>b'.split('</t>')[-1] }}{{ 'ab'.split('</t>')[0] }}",
    "{{ 'abcabc'.replace('b', 'xx') }}{{ 'abc' | replace('c', '') }}", "{{ 'abc'.startswith('ab') }}{{ 'abc'.endswith('ab') }}{{ ''.startswith('a') }}", "{{ nope | default('d') }}{{ '' | default('d') }}{{ '' | default('d', true) }}",
    "{{ messages | selectattr('role', 'equalto', 'user') | list | length }}", "{{ (messages | rejectattr('role', 'equalto', 'user') | list)[0].role }}", "{{ messages | selectattr('nope', 'defined') | list | length }}",
    "{{ messages | map(attribute='role') | join(', ') }}", "{{ messages | map(attribute='role') | list | first }}{{ ['a', 'b'] | last }}", "{{ 5 | string + 'x' }}", "{{ messages[0].get('role') }}{{ messages[0].get('x') }}{{ messages[0].get('x', 'y') }}",
    "{{ 'a'.nope() }}", "{{ 'a' | nope }}", "{{ messages | replace('a', 'b') }}", "{{ messages[0].role.strip().upper() | lower }}", "{{ 3 | trim }}",
    # statements
    "{% for m in messages %}{{ loop.index0 }}{{ loop.index }}{{ loop.first }}{{ loop.last }}{{ loop.length }} {% endfor %}", "{% for m in messages[1:] %}{{ m.role }} {% endfor %}", "{% for m in messages[::-1] %}{{ m.role }} {% endfor %}",
    "{% for m in messages[:2] %}{{ m['role'] }}{% else %}none{% endfor %}", "{% for m in [] %}x{% else %}none{% endfor %}", "{% for m in nope %}x{% endfor %}|", "{% for m in none %}x{% endfor %}", "{% for k, v in messages[0].items() %}{{ k }}={{ v | trim }};{% endfor %}",
    "{% set x = 1 %}{% for m in messages %}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}", "{% for m in messages %}{% if loop.first %}{% set y = 'z' %}{% endif %}{{ y }}{% endfor %}", "{% set ns = namespace(n=0, s='') %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}{{ ns.s }}{{ ns.x }}",
    "{% if false %}a{% elif messages[0].role == 'system' %}b{% elif true %}c{% else %}d{% endif %}", "{% if nope %}a{% endif %}{% if not nope %}b{% endif %}", "{% for m in messages %}{% if m.role == 'user' %}{% continue %}{% endif %}{{ m.role }}{% endfor %}",
    "{% for m in messages %}{% if loop.index0 == 2 %}{% break %}{% endif %}{{ m.role }}{% endfor %}|", "{% for i in range(3) %}{{ i }}{% for j in range(1, 3) %}{{ i }}{{ j }}{{ loop.index }} {% endfor %}{% endfor %}", "{% for m in messages %}{{ m.role if not loop.last else '.' }}{% endfor %}",
    "{% for m in messages %}{{ loop.previtem.role if loop.previtem is defined else '-' }}{{ loop.nextitem.role if loop.nextitem is defined else '-' }} {% endfor %}", "{% generation %}x{% endgeneration %}", "{% set a = 'x' %}{% set b = a + 'y' %}{{ b }}",
    "{{ raise_exception('no') }}", "{% if messages | length > 9 %}{{ raise_exception('no') }}{% endif %}ok", "{{ 'a' if true else raise_exception('no') }}", "{% set messages = messages[1:] %}{{ messages[0].role }}", "{{ bos_token }}{{ eos_token + 'x' }}{{ add_generation_prompt }}",
    "{% if tools %}a{{ tools | tojson(indent=4) }}{% for t in tools %}{{ t | tojson }}{% endfor %}{% endif %}b", "{% macro f(x) %}{{ x }}{% endmacro %}ok", "{% if tools is not none %}x{% else %}y{% endif %}{{ documents is none }}", "{% set x %}block{% endset %}",
    "{% for m in messages %}{% for n in messages %}{% if n == m %}{{ loop.index0 }}{% endif %}{% endfor %}{% endfor %}", "{% if (messages[0].role == 'user') != (0 % 2 == 0) %}odd{% endif %}", "{{ messages[messages | length - 1].role }}{{ messages[-1]['role'] }}",
    "{% set content = messages[2].content %}{{ content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') }}|{{ content.split('</think>')[-1].lstrip('\\n') }}",
    # what is compared with what
    "{{ 1 < 2 < 3 }}{{ 3 > 2 > 1 }}{{ 1 == 1 == 1 }}{{ 2 < 1 < nope.x }}{{ 1 < 3 > 2 }}{{ 'a' == 'a' in 'ab' }}", "{{ {'a': 1} == {'b': 1} }}{{ {'a': 1, 'b': 2} == {'b': 2, 'a': 1} }}",
    "{{ -messages | length }}", "{{ -1 is number }}{{ true is number }}{{ true is integer }}{{ nope is sequence }}", "{{ (messages | first).role }}{{ messages | first.role }}",
    # what filters give is true, without length, and read once
    "{% set x = messages | selectattr('role', 'equalto', 'tool') %}{{ 'y' if x else 'n' }}{{ x is iterable }}{{ x is sequence }}", "{{ messages | selectattr('role') | length }}",
    "{{ (messages | map(attribute='role'))[0] }}", "{% set x = messages | map(attribute='role') %}{% for r in x %}{{ r }}{{ loop.length }}{% endfor %}{% for r in x %}{{ r }}{% else %}none{% endfor %}",
    "{{ messages | rejectattr('role', 'eq', 'user') | map(attribute='role') | join(' ') }}{{ 'user' in messages | map(attribute='role') }}{{ messages | selectattr('role') | first == messages[0] }}",
    "{% set x = messages | map(attribute='role') %}{{ x == x }}{{ x == messages | map(attribute='role') }}{{ false and x | list }}{{ x | list | length }}{{ x | list | length }}", "{{ messages | map(attribute='role') | last }}",
    # arguments by name, and too many
    "{{ '' | default('d', boolean=true) }}{{ '' | default('d', boolean=false) }}|", "{{ messages | join(' ', attribute='role') }}", "{{ messages | map(attribute='nope', default='d') | join }}", "{{ 'xax' | trim(chars='x') }}",
    "{{ 'abc'.startswith('b', 1) }}", "{{ 'abc'.upper(1) }}", "{{ 'abc'.strip('a', 'b') }}", "{{ 'abc' | upper(1) }}", "{{ messages[0].get('x', 'y', 'z') }}", "{{ 'xax' | trim('x') }}", "{{ range(1, 2, 3) | length }}", "{{ [1] | length(2) }}",
    "{% for m in messages %}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.depth }}{{ loop.depth0 }} {% endfor %}",
    "{% nope %}", "{% for %}{% endfor %}", "{% if %}{% endif %}", "{{ 1 2 }}", "{{ (1 }}", "{{ [1, }}", "{{ 'a'.b.c }}", "{{ namespace(1) }}", "{{ messages[0].items() | list | length }}",
]
# Supported by Jinja, or harmless there, and not by jinja.c.
UNKNOWN = ["{{ messages | replace('a', 'b') }}", "{{ 1 == 1.0 }}", "{{ 'a' * 3 }}", "{{ 2 ** 3 }}", "{% set x %}block{% endset %}", "{{ namespace(1) }}",
           "{{ messages | join(' ', attribute='role') }}", "{{ messages | map(attribute='nope', default='d') | join }}",
           "{{ 'xax' | trim(chars='x') }}", "{{ 'abc'.startswith('b', 1) }}", "{{ range(1, 2, 3) | length }}",
           "{{ (messages | map(attribute='role'))[0] }}"]


def main():
    with open(Path(__file__).parent / "jinja.jsonl", "w", newline="\n") as out:
        for template in TEMPLATES:
            row = {"template": template}
            try:
                row["text"] = _compile_jinja_template(template).render(
                    messages=MESSAGES, add_generation_prompt=True, bos_token="<s>", eos_token="</s>", tools=None,
                    documents=None)
            except jinja2.exceptions.TemplateError as error:
                row["is_raised"] = str(error) == "no"
            except (TypeError, ValueError, ZeroDivisionError, AttributeError):
                pass
            if template in UNKNOWN:
                row = {"template": template}
            out.write(json.dumps(row, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
