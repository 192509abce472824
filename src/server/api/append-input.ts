/** Bodies of appends: JSON, NDJSON and Arrow IPC, as what a log takes. */
import { isUtf8 } from 'node:buffer'
import { StratalogError } from '../../base/errors.ts'
import { once } from '../../base/once.ts'
import { fromWire } from '../../base/wire-value.ts'
import type { Appendable } from '../../engine/appended-records.ts'
import { joinArrowBatches } from '../../format/arrow-input.ts'
import { type JsonRecord, parseJsonRecord, withFloats } from '../../engine/json-record.ts'
import type { LineParser } from '../../engine/line-parser.ts'
import type { Field } from '../../format/schema.ts'
import { RequestProblem } from '../http-error.ts'
import { jsonMessages } from '../streams/json-messages.ts'

/** What is known of the records, and who parses many of them. */
export interface ParseHints {
  /** The columns of the log; none where it has none yet. */
  readonly fieldsOf: () => readonly Field[]
  readonly lines: LineParser
}

/** Records of a body. */
export interface ParsedBody {
  readonly records: Appendable
  /** To be called when the records were appended. */
  readonly release?: () => void
}

/** What can be said at once is no promise: one costs as much as the rest of a small append. */
type Parse = (body: Buffer, hints: ParseHints) => ParsedBody | Promise<ParsedBody>

const PARSERS: Readonly<Record<string, Parse>> = {
  'application/json': (body, { fieldsOf }) => ({
    records: withFloats(parseJson(body), fieldsOf),
  }),
  'application/x-ndjson': parseLines,
  'application/ndjson': parseLines,
  'application/vnd.stratalog.records+ndjson': (body, { fieldsOf }) => ({
    records: parseTagged(body, fieldsOf),
  }),
  'application/vnd.apache.arrow.stream': parseArrow,
  'application/vnd.apache.arrow.file': parseArrow,
}

/**
 * @throws RequestProblem `media_type_unsupported`, `request_invalid`; StratalogError `record_invalid`, and for Arrow
 * data that is none.
 */
export function parseAppend(
  body: Buffer,
  contentType: string,
  hints: ParseHints,
): ParsedBody | Promise<ParsedBody> {
  const parse = Object.hasOwn(PARSERS, contentType) ? PARSERS[contentType] : undefined
  if (parse === undefined) {
    throw new RequestProblem(
      'media_type_unsupported',
      `Records come as one of ${Object.keys(PARSERS).join(', ')}.`,
    )
  }
  return parse(body, hints)
}

/** One record, or an array of them. */
function parseJson(body: Buffer): readonly JsonRecord[] {
  const text = textOf(body).trim()
  if (text.startsWith('[')) return parseTexts(jsonMessages(body), (index) => `element ${index}`)
  return parseTexts([text], () => 'body')
}

/** What the thread cannot parse, or refuses, is parsed here, and said what is wrong with. */
async function parseLines(body: Buffer, { fieldsOf, lines }: ParseHints): Promise<ParsedBody> {
  const parsed = await lines.parse([body], fieldsOf())
  if (parsed !== null) return parsed
  const records = parseTexts(linesOf(body), (index) => `line ${index}`)
  return { records: withFloats(records, fieldsOf) }
}

/** Lines of the client of this package, which tags what JSON has no word for, every bigint among it. */
function parseTagged(body: Buffer, fieldsOf: () => readonly Field[]): readonly JsonRecord[] {
  const records = parseTexts(linesOf(body), (index) => `line ${index}`)
  return withFloats(records, fieldsOf).map((record, index) => {
    const made = fromWire(record)
    if (isRecord(made)) return made
    throw new RequestProblem('request_invalid', `The line ${index} is not an object.`)
  })
}

/** Whether a value is no Date, bytes or list, which a whole line may be tagged as too. */
function isRecord(value: unknown): value is JsonRecord {
  const isObject = typeof value === 'object' && value !== null
  return isObject && Object.getPrototypeOf(value) === Object.prototype
}

function linesOf(body: Buffer): readonly string[] {
  return textOf(body)
    .split('\n')
    .filter((line) => !BLANK.test(line))
}

const BLANK = /^\s*$/

/** Without the byte order mark that some programs write before all else. */
function textOf(body: Buffer): string {
  if (!isUtf8(body)) throw new RequestProblem('request_invalid', 'The body is not UTF-8.')
  const text = body.toString()
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text
}

function parseTexts(
  texts: readonly string[],
  nameOf: (index: number) => string,
): readonly JsonRecord[] {
  return texts.map((text, index) => {
    const parsed = parseJsonRecord(text)
    if ('record' in parsed) return parsed.record
    const { reason, column } = parsed
    if (column !== undefined) {
      throw new StratalogError('record_invalid', `The ${nameOf(index)} has ${reason}.`, {
        details: { record: index, column },
      })
    }
    throw new RequestProblem('request_invalid', `The ${nameOf(index)} is ${reasonOf(reason)}.`)
  })
}

/** Without what the parser quotes of the text. */
function reasonOf(reason: string): string {
  return reason.startsWith('not JSON') ? 'not JSON' : reason
}

/** Loaded with the first of its kind: a server that gets none starts sooner. */
const arrowIpc = once(() => import('../../format/arrow-ipc.ts'))

async function parseArrow(body: Buffer): Promise<ParsedBody> {
  const { parseArrowIpc } = await arrowIpc()
  return { records: joinArrowBatches(await parseArrowIpc(body)) }
}
