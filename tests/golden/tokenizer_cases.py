"""Writes tokenizer/cases.json: texts and the ids that transformers gives them.

    tokenizer_cases.py [FOLDER]

FOLDER is a tokenizer folder, the house model's by default. A case has the text, its ids
without a template, and the ids of the prompt as Flux2KleinPipeline makes them
(pipeline_flux2_klein.py, _get_qwen3_prompt_embeds): in the chat template, cut and padded
to model_max_length; `used` of them are no padding, `total` were there before the cut.

Drawn characters come from Unicode 3.2, so that they do not depend on which version of
Unicode Python, transformers and the program under test know.
"""

import json
import random
import sys
from pathlib import Path
from unicodedata import ucd_3_2_0 as unicode_3_2

import tokenizers
import transformers

HERE = Path(__file__).parent
SEED = 20240229
LONGEST = 2000  # characters of a prompt

PLAIN = [
    "",
    " ",
    "a",
    "a cat",
    " a cat ",
    "A red panda riding a bicycle, digital art",
    "smiling face with sunglasses",
    "Smiling Face With Heart-Eyes",
    "GRINNING CAT",
    "grinning squinting face, blob style",
    "the quick brown fox jumps over the lazy dog. The Quick Brown Fox?",
    "snake_case camelCase kebab-case dotted.name path/to/file.c",
    "https://example.com/a?b=c&d=%20#e",
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
    "wow!!! really??? yes... (no) [maybe] {so} \"quoted\" 'single'",
    "x" * 100,
    "\x00",
    "a\x00b",
    "\x01\x02\x1b\x7f",
]
CONTRACTIONS = [
    "it's can't we're I've I'm you'll he'd",
    "IT'S CAN'T WE'RE I'VE I'M YOU'LL HE'D",
    "It'S Can'T We'rE I'Ve I'm You'lL",
    "'s 't 're 've 'm 'll 'd",
    "'S'T'RE'VE'M'LL'D",
    "'sun 'tree 'really 'very 'moon 'lladder 'dog",
    "rock'n'roll o'clock y'all'd've",
    "it\u2019s can\u2019t \u2018quoted\u2019",
    "'\u017f long s, '\u212a kelvin",
    "''s '''ll 'l l' 'r 'v",
]
DIGITS = [
    "1",
    "1234567890",
    "3.14159 and 1,000,000",
    "2024-02-29T12:34:56Z",
    "a1b2c3 4d5e6f",
    "\u0661\u0662\u0663 \u0967\u0968\u0969 \uff11\uff12\uff13",
    "\u00bd \u00b2 \u2162 \u2460 \u3007 \U0001d7d8\U0001d7d9",
]
SCRIPTS = [
    "caf\u00e9 na\u00efve \u00fcber stra\u00dfe \u0153uvre",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u041a\u043e\u0448\u043a\u0430",
    "\u0393\u03b5\u03b9\u03ac \u03c3\u03bf\u03c5 \u039a\u03cc\u03c3\u03bc\u03b5",
    "\u4e00\u53ea\u7ea2\u8272\u7684\u718a\u732b\u5728\u9a91\u81ea\u884c\u8f66",
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01\u300c\u5f15\u7528\u300d\u3002",
    "\u65e5\u672c\u8a9e\u306e\u30c6\u30b9\u30c8\u3001\u30ab\u30bf\u30ab\u30ca",
    "\uff76\uff9e\uff77\uff9e \u304b\u3099\u304d\u3099 \u30cf\u309a",
    "\ud55c\uad6d\uc5b4 \uace0\uc591\uc774",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
    "\u0645\u064e\u0631\u0652\u062d\u064e\u0628\u064b\u0627 \u0627\u0653 \u0648\u0654",
    "\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd \u05e2\u05d5\u05dc\u05dd",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e",
    "\u0915\u093c \u0958 \u0915\u094d\u0937 \u0939\u093f\u0928\u094d\u0926\u0940",
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01",
    "\u0bb5\u0ba3\u0b95\u0bcd\u0b95\u0bae\u0bcd \u0b92\u0bd7",
    "\u0f66\u0fb2\u0f71\u0f72\u0f74 \u1025\u102e",
    "\U00010330\U00010331 \U00010400\U00010428 \U00020000\U00020001",
    "mixed \u4e2dEnglish\u6587 \u0438 \u05d0b\u0645c1\u0967",
]
NORMAL_FORMS = [
    "e\u0301 a\u030a o\u0308 n\u0303 C\u0327",
    "cafe\u0301 re\u0301sume\u0301 \u00c5ngstro\u0308m",
    "s\u0323\u0307 s\u0307\u0323 d\u0307\u0323 \u1e0b\u0323",
    "q\u0307\u0323 x\u0301\u0316\u0301",
    "\u1e9b\u0323 \u03d3 \u03d2\u0301 \u1f80 \u03b1\u0313\u0345",
    "\u212b \u2126 \u212a \u1ffd \u2000 \u0374 \u037e \u0387",
    "\u0340 \u0341 \u0343 a\u0344 \u0344",
    "\u0301start \u0308\u0301 \u0323",
    "\u1100\u1161 \u1112\u1161\u11ab\u1100\u1173\u11af",
    "\u1100\u1161\u11a8 \uac00\u11a8 \uac01\u11a8 \u1100\u11a8 \u1161\u11a8",
    "\u1100\u0301\u1161 \uac00\u0301\u11a8",
    "\u0958 \u09dc \u0a33 \u0b5c \ufb1d \ufb2a \u2adc",
    "\U0001d15e \U0001d1bc \U0001d157\U0001d165",
    "\uf900 \uf90e \U0002f800 \ufa0e",
    "\ufb01 \ufb00 \u2460 \u00aa \ufe30 \uff21",
    "a" + "\u0345\u0301\u0327\u0323" * 20,
]
EMOJI = [
    "\U0001f600",
    "\U0001f600\U0001f601\U0001f602 \U0001f60e",
    "\u2764\ufe0f \u2764\ufe0e \u2764",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",
    "\U0001f44b\U0001f3fb\U0001f44b\U0001f3ff thumbs \U0001f44d\U0001f3fd",
    "\U0001f3f3\ufe0f\u200d\U0001f308 \U0001f1eb\U0001f1f7\U0001f1e9\U0001f1ea",
    "1\ufe0f\u20e3 #\ufe0f\u20e3 \u00a9\ufe0f",
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "cat\U0001f431dog \U0001f436\nfish\U0001f41f!",
]
SPACES = [
    "  ",
    "   a",
    "a   b    c",
    "trailing   ",
    "trailing \n",
    "\n",
    "\n\n\n",
    "a\nb\r\nc\rd",
    "a \n b\n \n  c",
    "  \n  \n  x",
    "\ta\t\tb \tc\t ",
    "line one.\n\nline two!\n\n\n  indented",
    "!\n?\r\n.\n\n",
    "\u00a0a\u00a0\u00a0b\u00a0",
    "a\u0085b \u0085 \u0085\u0085c",
    "a\u2028b\u2029c \u2028 d",
    "a\u200bb \u200b \u200bc\u200c\u200d\u2060\ufeff",
    "\u3000\u5168\u89d2\u3000\u3000\u7a7a\u683c",
    "a\u180eb \u180e c",
    "\u1680\u2000\u2003\u2009\u202f\u205fx",
    "\x0b\x0c \x1c\x1d\x1e\x1f a",
    "\ufeffbyte order mark",
    " ?!" + " " * 30 + "\n" + " " * 30 + "z",
]
ADDED = [
    "<|endoftext|>",
    "<|im_start|>",
    "a <|im_end|> b",
    "<|im_start|>system\nYou are a cat.<|im_end|>\n",
    "<|im_end|><|im_end|><|im_start|><|endoftext|>",
    "<|im_end|> <|im_end|>  <|im_end|>",
    "x  <|im_end|>  y",
    "x\n<|im_end|>\ny",
    "<think>hm</think>",
    "<think><think></think></think>",
    "<|im_start|<|im_start|>|>",
    "<|im_end",
    "<<|im_end|>>",
    "<|IM_END|> <|im_end |> < |im_end|>",
    "<|im_end|>\u0301 e<|im_end|>\u0301",
    "\u1100<think>\u1161",
    "it<|im_end|>'s",
    "</think></think >< /think>",
]


def sliced(text):
    return (text * LONGEST)[:LONGEST]


LONG = [
    "a" * LONGEST,
    " " * LONGEST,
    " " * (LONGEST - 1) + "x",
    "\n" * LONGEST,
    "7" * LONGEST,
    "'" * LONGEST,
    sliced("loremipsumdolorsitamet"),
    sliced("the quick brown fox jumps over the lazy dog "),
    sliced("\u4e2d\u6587"),
    sliced("\U0001f600"),
    sliced("\u0344"),
    "a" + ("\u0345\u0301\u0327" * LONGEST)[: LONGEST - 1],
    sliced("<|im_end|>"),
    sliced("<|im_"),
]


def is_drawn(code):
    """Assigned in Unicode 3.2, or one of the 66 noncharacters; no surrogate."""
    character = chr(code)
    nonchar = 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE
    return nonchar or unicode_3_2.category(character) not in ("Cn", "Cs")


def drawn(generator, alphabet, length):
    return "".join(generator.choice(alphabet) for _ in range(length))


def drawn_texts():
    generator = random.Random(SEED)
    everything = [chr(code) for code in range(0x110000) if is_drawn(code)]
    marks = [c for c in everything if unicode_3_2.combining(c)]
    plane_0 = [c for c in everything if ord(c) < 0x10000]
    astral = [c for c in everything if ord(c) >= 0x10000]
    nonchars = [c for c in everything if unicode_3_2.category(c) == "Cn"]
    latin = [chr(code) for code in range(0x20, 0x250)]
    spaces = [c for c in plane_0 if c.isspace()]
    mixtures = [
        plane_0,
        astral,
        nonchars,
        latin + marks,
        ["a", "'", "s", "1", "!", "\u4e2d"] + spaces,
        everything + latin * 200 + marks * 50 + spaces * 100,
    ]
    return [
        drawn(generator, alphabet, length)
        for alphabet in mixtures
        for length in (1, 3, 10, 40, 120)
    ]


def case(tokenizer, text):
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}],
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=False,
    )
    limit = min(tokenizer.model_max_length, 512)
    padded = tokenizer(prompt, padding="max_length", truncation=True, max_length=limit)
    return {
        "text": text,
        "ids": tokenizer(text)["input_ids"],
        "prompt": padded["input_ids"],
        "used": sum(padded["attention_mask"]),
        "total": len(tokenizer(prompt)["input_ids"]),
    }


def main():
    house = HERE.parent.parent / "model" / "house" / "tokenizer"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else house
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    texts = PLAIN + CONTRACTIONS + DIGITS + SCRIPTS + NORMAL_FORMS + EMOJI + SPACES + ADDED
    texts += LONG + drawn_texts()
    head = {
        "transformers": transformers.__version__,
        "tokenizers": tokenizers.__version__,
        "limit": min(tokenizer.model_max_length, 512),
        "size": len(tokenizer),
    }
    cases = ",\n".join(json.dumps(case(tokenizer, text)) for text in texts)
    path = HERE / "tokenizer" / "cases.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(head)[:-1] + f', "cases": [\n{cases}\n]}}\n')


if __name__ == "__main__":
    main()
