/**
 * Splits a byte stream into lines, many at a time. A line that is too long or not UTF-8 comes as a bad line with its
 * number; its bytes are never held whole. Blank lines are left out but counted.
 */
import { isUtf8 } from 'node:buffer'

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

export interface LineBlock {
  readonly lines: readonly Line[]
  readonly bad: readonly BadLine[]
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
    const last = chunk.lastIndexOf(NEWLINE)
    if (last < 0) {
      this.#keep(chunk)
      return null
    }
    const first = chunk.indexOf(NEWLINE)
    const lines: Line[] = []
    const bad: BadLine[] = []
    this.#keep(chunk.subarray(0, first))
    this.#takeRest(lines, bad)
    this.#take(chunk.subarray(first + 1, last + 1), lines, bad)
    this.#keep(chunk.subarray(last + 1))
    return { lines, bad }
  }

  end(): LineBlock | null {
    if (this.#restBytes === 0) return null
    const lines: Line[] = []
    const bad: BadLine[] = []
    this.#takeRest(lines, bad)
    return { lines, bad }
  }

  /** Once a line is too long, only its length goes on counting. */
  #keep(part: Buffer): void {
    if (part.length === 0) return
    if (this.#restBytes + part.length <= this.#lineBytesMax) this.#rest.push(part)
    this.#restBytes += part.length
  }

  #takeRest(lines: Line[], bad: BadLine[]): void {
    const number = this.#number++
    const bytes = this.#rest.length === 1 ? this.#rest[0] : Buffer.concat(this.#rest)
    const byteCount = this.#restBytes
    this.#rest = []
    this.#restBytes = 0
    if (bytes === undefined) return
    if (byteCount > this.#lineBytesMax) {
      const reason = `the line has ${byteCount} bytes; at most ${this.#lineBytesMax} are taken`
      bad.push({ number, reason, text: excerpt(bytes) })
    } else {
      takeLine(number, bytes, lines, bad)
    }
  }

  /** Whole lines, each with its newline. */
  #take(block: Buffer, lines: Line[], bad: BadLine[]): void {
    if (block.length > this.#lineBytesMax || !isUtf8(block)) {
      this.#takeOneByOne(block, lines, bad)
      return
    }
    const texts = block.toString('utf8').split('\n')
    for (let index = 0; index < texts.length - 1; index++) {
      const text = texts[index] ?? ''
      if (text !== '' && text !== '\r') lines.push({ number: this.#number, text })
      this.#number++
    }
  }

  #takeOneByOne(block: Buffer, lines: Line[], bad: BadLine[]): void {
    for (let start = 0; start < block.length;) {
      const end = block.indexOf(NEWLINE, start)
      this.#keep(block.subarray(start, end))
      this.#takeRest(lines, bad)
      start = end + 1
    }
  }
}

function takeLine(number: number, bytes: Buffer, lines: Line[], bad: BadLine[]): void {
  if (!isUtf8(bytes)) {
    bad.push({ number, reason: 'the line is not UTF-8', text: excerpt(bytes) })
    return
  }
  const text = number === 1 ? bytes.toString('utf8').replace(/^\uFEFF/, '') : bytes.toString('utf8')
  if (text !== '' && text !== '\r') lines.push({ number, text })
}

function excerpt(bytes: Buffer): string {
  return bytes.subarray(0, EXCERPT_BYTES_MAX).toString('utf8')
}
