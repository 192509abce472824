/** Bodies of appends: JSON, NDJSON and Arrow IPC, as what a log takes. */
import type { Appendable } from '../../engine/log.ts'
import { type JsonRecord, parseJsonRecord } from '../../engine/json-record.ts'
import { RequestProblem } from '../http-error.ts'
import { jsonMessages } from '../streams/json-messages.ts'

type Parse = (body: Buffer) => Promise<Appendable>

const PARSERS: Readonly<Record<string, Parse>> = {
  'application/json': async (body) => parseTexts(jsonMessages(body), 'element'),
  'application/x-ndjson': async (body) => parseTexts(linesOf(body), 'line'),
  'application/ndjson': async (body) => parseTexts(linesOf(body), 'line'),
  'application/vnd.apache.arrow.stream': parseArrow,
  'application/vnd.apache.arrow.file': parseArrow,
}

/** @throws RequestProblem `media_type_unsupported`, `request_invalid`; StratalogError for Arrow data that is none. */
export function parseAppend(body: Buffer, contentType: string): Promise<Appendable> {
  const parse = Object.hasOwn(PARSERS, contentType) ? PARSERS[contentType] : undefined
  if (parse === undefined) {
    throw new RequestProblem(
      'media_type_unsupported',
      `Records come as one of ${Object.keys(PARSERS).join(', ')}.`,
    )
  }
  return parse(body)
}

function linesOf(body: Buffer): readonly string[] {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(body)
    return text.split('\n').filter((line) => line.trim() !== '')
  } catch {
    throw new RequestProblem('request_invalid', 'The body is not UTF-8.')
  }
}

function parseTexts(texts: readonly string[], unit: string): readonly JsonRecord[] {
  return texts.map((text, index) => {
    const parsed = parseJsonRecord(text)
    if ('record' in parsed) return parsed.record
    throw new RequestProblem(
      'request_invalid',
      `The ${unit} ${index} is ${reasonOf(parsed.reason)}.`,
    )
  })
}

/** Without what the parser quotes of the text. */
function reasonOf(reason: string): string {
  return reason.startsWith('not JSON') ? 'not JSON' : reason
}

async function parseArrow(body: Buffer): Promise<Appendable> {
  const { joinArrowBatches, parseArrowIpc } = await import('../../format/arrow-input.ts')
  return joinArrowBatches(await parseArrowIpc(body))
}
