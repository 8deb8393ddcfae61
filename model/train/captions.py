"""What a person might type for a drawing: its name, or keywords, or both, some with the
name of the style, some with an article or "a drawing of".
"""

import random

STYLES = ("noto", "blob", "twemoji")
# Symbols are named as they look ("keycap: #"); the colon of other names joins a part
# ("man: bald"), where people write a comma.
NAMED_AS_THEY_LOOK = "Symbols"
# These come in pairs or bear writing: mirrored they are wrong.
NOT_MIRRORED = ("Symbols", "Flags")
# Six skin tones a person, and hundreds of flags, would crowd out the rest.
WEIGHTS = {"People & Body": 0.25, "Flags": 0.5}
OPENINGS = ("a drawing of {}", "an emoji of {}", "a picture of {}", "a sticker of {}")


def name_of(entry: dict) -> str:
    name = entry["name"].lower()
    if entry["group"] == NAMED_AS_THEY_LOOK:
        return name
    return name.replace(":", ",")


def with_article(name: str) -> str:
    return f"{'an' if name[:1] in 'aeiou' else 'a'} {name}"


def subject(entry: dict, rng: random.Random) -> str:
    name = name_of(entry)
    keywords = [k.lower() for k in entry["keywords"] if k.lower() != name]
    draw = rng.random()
    if keywords and draw < 0.2:
        return ", ".join(rng.sample(keywords, min(len(keywords), rng.randint(1, 3))))
    if keywords and draw < 0.4:
        return ", ".join([name, *rng.sample(keywords, min(len(keywords), rng.randint(1, 2)))])
    if draw < 0.55:
        return with_article(name)
    if draw < 0.65:
        return rng.choice(OPENINGS).format(with_article(name))
    return name


def caption(entry: dict, rng: random.Random) -> str:
    text = subject(entry, rng)
    if rng.random() < 0.5:
        text += f", {entry['style']} style"
    return text


def weight(entry: dict) -> float:
    return WEIGHTS.get(entry["group"], 1.0)


def may_mirror(entry: dict) -> bool:
    return entry["group"] not in NOT_MIRRORED
