/** Escapes in texts of JSON, as bytes. */

const QUOTE = 0x22
const BACKSLASH = 0x5c
const SPACE = 0x20
const LETTER_U = 0x75

/** By the byte behind a backslash, what it stands for; 0: it stands for nothing. */
const ESCAPES = new Uint8Array(256)
for (const [letter, meant] of Object.entries({
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
}))
  ESCAPES[letter.charCodeAt(0)] = meant.charCodeAt(0)

/**
 * Where the quote stands that ends a text, of which the first escape is at `from`; -1 where it has one that is none, or
 * one half of a pair of surrogates.
 */
export function escapedTextEnd(bytes: Uint8Array, from: number): number {
  let at = from
  for (;;) {
    const byte = bytes[at] ?? 0
    if (byte === QUOTE) return at
    if (byte < SPACE) return -1
    if (byte !== BACKSLASH) at++
    else if (bytes[at + 1] === LETTER_U) {
      const point = codePointAt(bytes, at)
      if (point < 0) return -1
      at += escapeLength(point)
    } else {
      if (ESCAPES[bytes[at + 1] ?? 0] === 0) return -1
      at += 2
    }
  }
}

/** Writes the text in `[start, end)`, whose escapes are good, over itself, as it gets shorter. Where it ends then. */
export function unescapeText(bytes: Uint8Array, start: number, end: number): number {
  let at = bytes.indexOf(BACKSLASH, start)
  let to = at
  while (at < end) {
    const byte = bytes[at] ?? 0
    if (byte !== BACKSLASH) {
      bytes[to++] = byte
      at++
    } else if (bytes[at + 1] === LETTER_U) {
      const point = codePointAt(bytes, at)
      to = putCodePoint(bytes, to, point)
      at += escapeLength(point)
    } else {
      bytes[to++] = ESCAPES[bytes[at + 1] ?? 0] ?? 0
      at += 2
    }
  }
  return to
}

/** What the `\\u` there stands for, with a second one where it takes two; -1: nothing. */
function codePointAt(bytes: Uint8Array, at: number): number {
  const unit = codeUnitAt(bytes, at + 2)
  if (unit < 0xd800 || unit > 0xdfff) return unit
  if (unit >= 0xdc00 || bytes[at + 6] !== BACKSLASH || bytes[at + 7] !== LETTER_U) return -1
  const low = codeUnitAt(bytes, at + 8)
  if (low < 0xdc00 || low > 0xdfff) return -1
  return 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
}

function escapeLength(point: number): number {
  return point < 0x10000 ? 6 : 12
}

/** Four digits of base 16; -1 where one is none. */
function codeUnitAt(bytes: Uint8Array, from: number): number {
  let unit = 0
  for (let at = from; at < from + 4; at++) {
    const digit = digitOf(bytes[at] ?? 0)
    if (digit < 0) return -1
    unit = unit * 16 + digit
  }
  return unit
}

function digitOf(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const letter = byte | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x61 + 10 : -1
}

/** In UTF-8, of no more bytes than its escape. Where it ends. */
function putCodePoint(bytes: Uint8Array, position: number, point: number): number {
  let to = position
  if (point < 0x80) {
    bytes[to++] = point
    return to
  }
  if (point < 0x800) bytes[to++] = 0xc0 | (point >> 6)
  else {
    if (point < 0x10000) bytes[to++] = 0xe0 | (point >> 12)
    else {
      bytes[to++] = 0xf0 | (point >> 18)
      bytes[to++] = 0x80 | ((point >> 12) & 0x3f)
    }
    bytes[to++] = 0x80 | ((point >> 6) & 0x3f)
  }
  bytes[to++] = 0x80 | (point & 0x3f)
  return to
}
