/** A JSON body as messages: the elements of an array, else the one value; each as the text that it was written in. */
import { isUtf8 } from 'node:buffer'
import { RequestProblem } from '../http-error.ts'

/** @throws RequestProblem `request_invalid` for what is not JSON in UTF-8. */
export function jsonMessages(body: Uint8Array): readonly string[] {
  const text = checkedText(body)
  return text.startsWith('[') ? elementsOf(text) : [text]
}

function checkedText(body: Uint8Array): string {
  try {
    // `trim` takes a byte order mark away too.
    const text = isUtf8(body)
      ? Buffer.from(body.buffer, body.byteOffset, body.length).toString().trim()
      : ''
    JSON.parse(text)
    return text
  } catch {
    throw new RequestProblem('request_invalid', 'The body is not JSON.')
  }
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
/** `[` and `{`, with bit 5 set: what opens. */
const OPEN = 0x7b
/** `]` and `}`, with bit 5 set: what closes. */
const CLOSE = 0x7d

/** The elements of the text of an array, which is known to be JSON. */
function elementsOf(text: string): readonly string[] {
  const elements: string[] = []
  let depth = 0
  let start = 1
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code === QUOTE) index = endOfString(text, index)
    else if (code === COMMA && depth === 1) {
      elements.push(text.slice(start, index).trim())
      start = index + 1
    } else if ((code | 0x20) === OPEN) depth++
    else if ((code | 0x20) === CLOSE) depth--
  }
  const last = text.slice(start, -1).trim()
  return last === '' && elements.length === 0 ? [] : [...elements, last]
}

/** Where the string that begins at `start` has its closing quote. */
function endOfString(text: string, start: number): number {
  let index = start + 1
  while (text.charCodeAt(index) !== QUOTE) index += text.charCodeAt(index) === BACKSLASH ? 2 : 1
  return index
}
