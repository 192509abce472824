/**
 * Splits a byte stream into lines, many at a time. Of a chunk only what is behind its last newline is copied; the rest
 * of it must hold for as long as its block is in use. A line that is too long or not UTF-8 comes as a bad line with its
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

/**
 * Lines that follow one another; they are split when somebody asks for them. Blocks are turned to in their order, and
 * each is either asked for its lines or said how many it has, as the next ones are numbered from there.
 */
export class LineBlock {
  /** Their bytes, in parts; null where a line is too long to be held. */
  readonly parts: readonly Uint8Array[] | null
  readonly #numbers: LineNumbers
  readonly #split: () => SplitLines

  constructor(
    parts: readonly Uint8Array[] | null,
    numbers: LineNumbers,
    split: (first: number) => SplitBlock,
  ) {
    this.parts = parts
    this.#numbers = numbers
    this.#split = once(() => {
      const { count, ...found } = split(numbers.next)
      numbers.next += count
      return found
    })
  }

  get lines(): readonly Line[] {
    return this.#split().lines
  }

  get bad(): readonly BadLine[] {
    return this.#split().bad
  }

  /** Nobody will ask for the lines, of which there are `count`. */
  pass(count: number): void {
    this.#numbers.next += count
  }
}

interface LineNumbers {
  /** Of the first line of the block that comes next. */
  next: number
}

interface SplitBlock extends SplitLines {
  /** Blank ones too. */
  readonly count: number
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
  readonly #numbers: LineNumbers = { next: 1 }

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
    this.#keep(whole.subarray(0, Math.max(first - 1, 0)))
    const [rest, restBytes, lineBytesMax] = [this.#rest, this.#restBytes, this.#lineBytesMax]
    this.#rest = []
    this.#restBytes = 0
    return new LineBlock(null, this.#numbers, (number) => {
      const found: Found = { lines: [], bad: [] }
      takeRest(number, rest, restBytes, lineBytesMax, found)
      const others = splitBlock(whole.subarray(first), number + 1, lineBytesMax)
      return {
        lines: [...found.lines, ...others.lines],
        bad: [...found.bad, ...others.bad],
        count: 1 + others.count,
      }
    })
  }

  #block(whole: Buffer): LineBlock {
    const parts = [...this.#rest, whole]
    const lineBytesMax = this.#lineBytesMax
    this.#rest = []
    this.#restBytes = 0
    return new LineBlock(parts, this.#numbers, (number) =>
      splitBlock(parts.length === 1 ? whole : Buffer.concat(parts), number, lineBytesMax),
    )
  }

  /** Once a line is too long, only its length goes on counting. */
  #keep(part: Buffer): void {
    if (part.length === 0) return
    if (this.#restBytes + part.length <= this.#lineBytesMax) this.#rest.push(Buffer.from(part))
    this.#restBytes += part.length
  }
}

const NO_BYTES = Buffer.alloc(0)
const BLANK = /^\s*$/

interface Found {
  readonly lines: Line[]
  readonly bad: BadLine[]
}

/** Whole lines, each with its newline, the first of which has that number. */
function splitBlock(block: Buffer, first: number, lineBytesMax: number): SplitBlock {
  const found: Found = { lines: [], bad: [] }
  if (block.length > lineBytesMax || !isUtf8(block))
    return { ...found, count: splitOneByOne(block, first, lineBytesMax, found) }
  const texts = withoutMark(block.toString('utf8'), first).split('\n')
  for (let index = 0; index < texts.length - 1; index++) {
    const text = texts[index] ?? ''
    if (!BLANK.test(text)) found.lines.push({ number: first + index, text })
  }
  return { ...found, count: texts.length - 1 }
}

/** Returns how many there were. */
function splitOneByOne(block: Buffer, first: number, lineBytesMax: number, found: Found): number {
  let number = first
  for (let start = 0; start < block.length;) {
    const end = block.indexOf(NEWLINE, start)
    takeRest(number++, [block.subarray(start, end)], end - start, lineBytesMax, found)
    start = end + 1
  }
  return number - first
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
