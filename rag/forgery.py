"""What a document must not say to the model: tags of our blocks, and tokens of chat templates. Pure.

They are looked for as a reader would see them: without invisible characters, with letters and brackets of other
alphabets that look like ours.
"""

from __future__ import annotations

import re
import unicodedata

# Latin letters as other scripts write them, for the few words below. Full-width, mathematical and other styles of a
# letter are known to Unicode (NFKC).
_LOOKS_LIKE = {
    **dict(zip("аеорсухіјѕԁһмтпгսոԛԝ", "aeopcyxijsdhmtnrunqw", strict=True)),
    **dict(zip("АВЕКМНОРСТУХІЈЅ", "ABEKMHOPCTYXIJS", strict=True)),
    **dict(zip("αεικνορτυχωΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "aeiknoptuxwABEZHIKMNOPTYX", strict=True)),
    **dict.fromkeys("‹〈⟨❮❬≺˂ᐸ⧼", "<"),
    **dict.fromkeys("›〉⟩❯❭≻˃ᐳ⧽", ">"),
    **dict.fromkeys("∣ǀ│┃❘⏐¦", "|"),
    **dict.fromkeys("⁄∕╱⧸／", "/"),
    **dict.fromkeys("▁＿", "_"),
    "ı": "i",
    "ſ": "s",
}
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
    "\U000e0000-\U000e0fff]"
)

_TAGS = (
    "think tool_call tool_calls tool_response tools start_of_turn end_of_turn start_of_image end_of_image "
    "bos eos pad unk mask s sop eop im_start im_end bos_token eos_token eop_token seed:[a-z_:]+ special_\\d+ "
    "extra_id_\\d+ unused\\d+ fim_prefix fim_middle fim_suffix file_sep repo_name"
).split()
_WORDS = (
    "SYSTEM_PROMPT AVAILABLE_TOOLS TOOL_CALLS TOOL_RESULTS TOOL_CONTENT ARGS CALL_ID THINK IMG PREFIX SUFFIX MIDDLE "
    "gMASK sMASK BEGIN_AUDIO"
).split()
_OUR_TAG = r"\s*/?\s*document\b"
_AFTER = {
    "<": [
        _OUR_TAG,
        # `<|im_end|>`, `<｜User｜>` and, with one bar, `<|turn>` and `<turn|>`.
        r"\|[^\s|<>()]{1,60}\|>|\|[\w.:-]{1,40}>|[\w.:-]{1,40}\|>",
        rf"/?(?:{'|'.join(_TAGS)})>",
        r"<?\s*/?sys\s*>>",
    ],
    "&": [rf"(?:lt|\#0*60|\#x0*3c);?{_OUR_TAG}"],
    "[": [rf"/?(?:INST|(?-i:{'|'.join(_WORDS)}))\]"],
}
# Beginning with the bracket makes it a search for one of three characters, which is fast.
_FORGED = re.compile(
    r"[<&\[](?=" + "|".join(f"(?<=\\{sign})(?:{'|'.join(each)})" for sign, each in _AFTER.items()) + ")", re.I
)
_ASCII, _MANY = bytes(range(128)), 40
_INSTEAD = {"<": "(", "&": "+", "[": "("}


def harmless(text: str) -> str:
    """Text that can neither end its block nor begin another, nor play the user or the system: one bracket of such
    a tag or token becomes a round one, and nothing else changes, not even the length."""
    seen, places = _as_seen(text)
    if not any(sign in seen for sign in _INSTEAD):
        return text
    if not (found := [match.start() for match in _FORGED.finditer(seen)]):
        return text
    signs = list(text)
    for at in found:
        signs[places[at]] = _INSTEAD[seen[at]]
    return "".join(signs)


def _as_seen(text: str) -> tuple[str, range | list[int]]:
    """The text as it looks, and the place in ``text`` of each of its characters."""
    if text.isascii():
        return text, range(len(text))
    folded = _folded(text)
    if not _UNSEEN.search(folded):
        return folded, range(len(text))
    places = [at for at, sign in enumerate(folded) if not _UNSEEN.match(sign)]
    return "".join(folded[at] for at in places), places


def _folded(text: str) -> str:
    """Few signs of a text look like others, so to replace these is much faster than to look at each."""
    beyond_ascii = text.encode(errors="surrogatepass").translate(None, _ASCII)
    signs = set(beyond_ascii.decode(errors="surrogatepass"))
    strange = [(sign, plain) for sign in signs if (plain := _FOLDING[ord(sign)]) != sign]
    if len(strange) > _MANY:
        return text.translate(_FOLDING)
    for sign, plain in strange:
        text = text.replace(sign, plain)
    return text


class _Folding(dict[int, str]):
    """One character for each, made when it is first asked for."""

    def __missing__(self, code: int) -> str:
        sign = chr(code)
        plain = unicodedata.normalize("NFKC", sign)
        plain = _LOOKS_LIKE.get(sign) or _LOOKS_LIKE.get(plain, plain)
        self[code] = plain = plain if len(plain) == 1 else sign
        return plain


_FOLDING = _Folding()
