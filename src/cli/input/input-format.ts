/** Which format an input has: by the end of its name, then by its first bytes. */
import { StratalogError } from '../../base/errors.ts'
import { parseCombinedLine } from './combined.ts'

export const INPUT_FORMATS = ['ndjson', 'csv', 'parquet', 'arrow', 'combined'] as const

export type InputFormat = (typeof INPUT_FORMATS)[number]

const FORMAT_BY_EXTENSION: Readonly<Record<string, InputFormat>> = {
  ndjson: 'ndjson',
  jsonl: 'ndjson',
  csv: 'csv',
  tsv: 'csv',
  parquet: 'parquet',
  arrow: 'arrow',
  arrows: 'arrow',
  feather: 'arrow',
}

/** @throws StratalogError `input_invalid` when nothing tells. */
export function detectFormat(name: string, head: Uint8Array): InputFormat {
  const format = formatOfName(name) ?? formatOfHead(head)
  if (format !== null) return format
  assertNotJson(name, head)
  throw new StratalogError(
    'input_invalid',
    `What ${name === '-' ? 'standard input' : name} holds is not recognised; name it with --format ${INPUT_FORMATS.join('|')}.`,
    { details: { path: name, allowed: INPUT_FORMATS } },
  )
}

/** @throws StratalogError `input_invalid` for JSON that is about to be taken for something else. */
export function assertNotJson(name: string, head: Uint8Array): void {
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.byteLength)
  const first = firstLine(bytes) ?? ''
  const isArray = /^\[\s*(\{|$)/.test(first)
  if (!isArray && !/^\{\s*("|\}|$)/.test(first)) return
  const shown = name === '-' ? 'Standard input' : name
  throw new StratalogError(
    'input_invalid',
    isArray
      ? `${shown} holds a JSON array; give NDJSON, one object a line.`
      : `${shown} holds JSON objects; import it with --format ndjson, one object a line.`,
    { details: { path: name, allowed: INPUT_FORMATS } },
  )
}

function formatOfName(name: string): InputFormat | null {
  const extension =
    /\.([a-z0-9]+)$/i.exec(name.replace(/\.(gz|zst)$/i, ''))?.[1]?.toLowerCase() ?? ''
  return Object.hasOwn(FORMAT_BY_EXTENSION, extension)
    ? (FORMAT_BY_EXTENSION[extension] ?? null)
    : null
}

function formatOfHead(head: Uint8Array): InputFormat | null {
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.byteLength)
  if (bytes.subarray(0, 6).toString('latin1') === 'ARROW1') return 'arrow'
  if (bytes.subarray(0, 4).toString('latin1') === 'PAR1') return 'parquet'
  if (bytes.length >= 4 && bytes.readInt32LE(0) === -1) return 'arrow'
  const first = firstLine(bytes)
  if (first === null) return null
  if (first.startsWith('{')) return 'ndjson'
  if (parseCombinedLine(first) !== null) return 'combined'
  if (first.startsWith('[')) return null
  return /[,;\t]/.test(first) ? 'csv' : null
}

/** The first line that is not blank; null in what is not text. */
function firstLine(bytes: Buffer): string | null {
  const text = bytes.toString('utf8')
  if (text.includes('\u0000')) return null
  const line = text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .find((candidate) => candidate.trim() !== '')
  return line === undefined ? null : line.trim()
}
