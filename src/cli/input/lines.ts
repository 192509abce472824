/**
 * Splits a byte stream into lines, many at a time. A line that is too long or not UTF-8 comes as a bad line with its
 * number; the bytes of one that is too long are never held whole. Blank lines are left out but counted.
 */
import { isUtf8 } from 'node:buffer'
import { once } from '../../base/once.ts'

/** One record of text at most; a longer line is refused rather than held in memory. */
export const LINE_BYTES_MAX: number = 64 * 1024 * 1024

/** Text kept of a bad line, for the file of rejects. */
const EXCERPT_BYTES_MAX = 4096

export interface Line {
  /** From 1. */
  readonly number: number
  readonly text: string
}

export interface BadLine {
  readonly number: number
  readonly reason: string
  readonly text: string
}

interface SplitLines {
  readonly lines: readonly Line[]
  readonly bad: readonly BadLine[]
}

/** Lines that follow one another; they are split when somebody asks for them. */
export class LineBlock {
  /** Their bytes; null where a line is too long to be held. */
  readonly bytes: Uint8Array | null
  readonly #split: () => SplitLines

  constructor(bytes: Uint8Array | null, split: () => SplitLines) {
    this.bytes = bytes
    this.#split = once(split)
  }

  get lines(): readonly Line[] {
    return this.#split().lines
  }

  get bad(): readonly BadLine[] {
    return this.#split().bad
  }
}

export interface SplitOptions {
  readonly lineBytesMax?: number
}

const NEWLINE = 0x0a

export async function* splitLines(
  bytes: AsyncIterable<Uint8Array>,
  options: SplitOptions = {},
): AsyncGenerator<LineBlock> {
  const splitter = new LineSplitter(options.lineBytesMax ?? LINE_BYTES_MAX)
  for await (const chunk of bytes) {
    const block = splitter.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))
    if (block !== null) yield block
  }
  const last = splitter.end()
  if (last !== null) yield last
}

class LineSplitter {
  readonly #lineBytesMax: number
  /** Bytes after the last newline, and how many there are in all. */
  #rest: Buffer[] = []
  #restBytes = 0
  #number = 1

  constructor(lineBytesMax: number) {
    this.#lineBytesMax = lineBytesMax
  }

  push(chunk: Buffer): LineBlock | null {
    const end = chunk.lastIndexOf(NEWLINE) + 1
    if (end === 0) {
      this.#keep(chunk)
      return null
    }
    const whole = chunk.subarray(0, end)
    const first = whole.indexOf(NEWLINE) + 1
    const block =
      this.#restBytes + first - 1 > this.#lineBytesMax
        ? this.#longBlock(whole, first)
        : this.#block(whole)
    this.#keep(chunk.subarray(end))
    return block
  }

  end(): LineBlock | null {
    return this.#restBytes === 0 ? null : this.#longBlock(NO_BYTES, 0)
  }

  /** The rest, with the first line of `whole` if it has one, is one line that may be too long; others follow. */
  #longBlock(whole: Buffer, first: number): LineBlock {
    const [lines, bad]: [Line[], BadLine[]] = [[], []]
    this.#keep(whole.subarray(0, Math.max(first - 1, 0)))
    takeRest(this.#number++, this.#rest, this.#restBytes, this.#lineBytesMax, { lines, bad })
    this.#rest = []
    this.#restBytes = 0
    const others = whole.subarray(first)
    const split = splitBlock(others, this.#number, this.#lineBytesMax)
    this.#number += countNewlines(others)
    return new LineBlock(null, () => ({
      lines: [...lines, ...split.lines],
      bad: [...bad, ...split.bad],
    }))
  }

  #block(whole: Buffer): LineBlock {
    const bytes = this.#rest.length === 0 ? whole : Buffer.concat([...this.#rest, whole])
    this.#rest = []
    this.#restBytes = 0
    const number = this.#number
    this.#number += countNewlines(bytes)
    return new LineBlock(bytes, () => splitBlock(bytes, number, this.#lineBytesMax))
  }

  /** Once a line is too long, only its length goes on counting. */
  #keep(part: Buffer): void {
    if (part.length === 0) return
    if (this.#restBytes + part.length <= this.#lineBytesMax) this.#rest.push(part)
    this.#restBytes += part.length
  }
}

const NO_BYTES = Buffer.alloc(0)
const BLANK = /^\s*$/

function countNewlines(bytes: Buffer): number {
  let count = 0
  for (let at = bytes.indexOf(NEWLINE); at !== -1; at = bytes.indexOf(NEWLINE, at + 1)) count++
  return count
}

interface Found {
  readonly lines: Line[]
  readonly bad: BadLine[]
}

/** Whole lines, each with its newline, the first of which has that number. */
function splitBlock(block: Buffer, first: number, lineBytesMax: number): SplitLines {
  const found: Found = { lines: [], bad: [] }
  if (block.length > lineBytesMax || !isUtf8(block)) {
    splitOneByOne(block, first, lineBytesMax, found)
    return found
  }
  const texts = withoutMark(block.toString('utf8'), first).split('\n')
  for (let index = 0; index < texts.length - 1; index++) {
    const text = texts[index] ?? ''
    if (!BLANK.test(text)) found.lines.push({ number: first + index, text })
  }
  return found
}

function splitOneByOne(block: Buffer, first: number, lineBytesMax: number, found: Found): void {
  let number = first
  for (let start = 0; start < block.length;) {
    const end = block.indexOf(NEWLINE, start)
    takeRest(number++, [block.subarray(start, end)], end - start, lineBytesMax, found)
    start = end + 1
  }
}

function takeRest(
  number: number,
  parts: readonly Buffer[],
  byteCount: number,
  lineBytesMax: number,
  { lines, bad }: Found,
): void {
  const bytes = parts.length === 1 ? (parts[0] ?? NO_BYTES) : Buffer.concat(parts)
  if (byteCount > lineBytesMax) {
    const reason = `the line has ${byteCount} bytes; at most ${lineBytesMax} are taken`
    bad.push({ number, reason, text: excerpt(bytes) })
  } else {
    takeLine(number, bytes, lines, bad)
  }
}

function takeLine(number: number, bytes: Buffer, lines: Line[], bad: BadLine[]): void {
  if (!isUtf8(bytes)) {
    bad.push({ number, reason: 'the line is not UTF-8', text: excerpt(bytes) })
    return
  }
  const text = withoutMark(bytes.toString('utf8'), number)
  if (!BLANK.test(text)) lines.push({ number, text })
}

function withoutMark(text: string, number: number): string {
  return number === 1 && text.startsWith('\uFEFF') ? text.slice(1) : text
}

function excerpt(bytes: Buffer): string {
  return bytes.subarray(0, EXCERPT_BYTES_MAX).toString('utf8')
}
