/**
 * Strict reading of a segment's facts: every field, every type, and every relation between them,
 * before any is used.
 */
import { StratalogError } from '../base/errors.ts'
import { columnShapes, storedColumns } from './column-layout.ts'
import { type Fail, JsonFields, parseJson } from './json-fields.ts'
import { BATCH_ROWS_MAX, STORED_COLUMNS_MAX, DICTIONARY_ENTRIES_MAX } from './limits.ts'
import { producerOf } from './producer.ts'
import { type Schema, isColumnType } from './schema.ts'
import { decodeTerms, termsFacts } from './segment-terms.ts'
import { parquetColumns } from './parquet-layout.ts'
import { sparseOf } from './segment-entry.ts'
import type {
  BatchFacts,
  ColumnStatistics,
  DictionaryFacts,
  SegmentFacts,
  SegmentFormat,
  SparseFacts,
} from './segment.ts'

export const SEGMENT_FORMAT_VERSION = 1

/** Key of our facts in the footer's metadata. */
export const FACTS_KEY = 'stratalog'

/** Begins the checksum of a segment's tail. */
export const TAIL_MAGIC: Uint8Array = Buffer.from('SLT1')

export function factsJson({ format: _format, ...stored }: SegmentFacts): string {
  const { terms } = stored
  return JSON.stringify(terms === undefined ? stored : { ...stored, terms: termsFacts(terms) })
}

/**
 * @param bytes JSON whose checksum was verified.
 * @param tailPosition where the segment's tail begins: blocks fill all before it.
 * @throws `fail`, and `format_unsupported` for a version that this program does not know.
 */
export function decodeSegmentFacts(
  bytes: Uint8Array,
  format: SegmentFormat,
  tailPosition: number,
  fail: Fail,
): SegmentFacts {
  const fields = new JsonFields(parseJson(bytes, fail), 'stratalog', fail)
  const formatVersion = fields.integer('formatVersion')
  if (formatVersion !== SEGMENT_FORMAT_VERSION) throw unknownVersion(formatVersion)
  const baseOffset = fields.integer('baseOffset')
  const endOffset = fields.integer('endOffset')
  const sparse = fields.has('sparse') ? sparseOf(fields.object('sparse')) : undefined
  const records = sparse?.records ?? endOffset - baseOffset
  const facts: SegmentFacts = {
    format,
    formatVersion,
    engineId: fields.text('engineId'),
    logId: fields.integer('logId'),
    logName: fields.text('logName'),
    partition: fields.integer('partition'),
    timeColumn: fields.text('timeColumn'),
    keyColumn: fields.textOrNull('keyColumn'),
    baseOffset,
    endOffset,
    ...(sparse === undefined ? {} : { sparse }),
    schema: decodeSchema(fields.object('schema'), fail),
    ...decodeTimes(fields),
    rawBytes: fields.integer('rawBytes'),
    dictionaries: fields.objects('dictionaries').map(decodeDictionary),
    batches: fields.objects('batches').map(decodeBatch),
    statistics: fields.objects('statistics').map(decodeStatistics),
    preambleChecksum: fields.integer('preambleChecksum'),
    preambleLength: fields.integer('preambleLength'),
    ...(fields.has('terms') ? { terms: decodeTerms(fields, records, fail) } : {}),
    ...(fields.has('producers') ? { producers: fields.objects('producers').map(producerOf) } : {}),
  }
  fields.end()
  checkRelations(facts, tailPosition, fail)
  return facts
}

function decodeSchema(fields: JsonFields, fail: Fail): Schema {
  const id = fields.integer('id')
  const schema: Schema = {
    id,
    fields: fields.objects('fields').map((field) => {
      const name = field.text('name')
      const type = field.text('type')
      const nullable = field.boolean('nullable')
      field.end()
      if (!isColumnType(type)) return fail(`${JSON.stringify(type)} is no column type`)
      return { name, type, nullable }
    }),
  }
  fields.end()
  return schema
}

function decodeTimes(
  fields: JsonFields,
): Pick<BatchFacts, 'timeMin' | 'timeMax' | 'appendTimeMin' | 'appendTimeMax'> {
  return {
    timeMin: fields.number('timeMin'),
    timeMax: fields.number('timeMax'),
    appendTimeMin: fields.number('appendTimeMin'),
    appendTimeMax: fields.number('appendTimeMax'),
  }
}

function decodeDictionary(fields: JsonFields): DictionaryFacts {
  const facts = {
    column: fields.integer('column'),
    length: fields.integer('length', 1),
    position: fields.integer('position'),
    metadataLength: fields.integer('metadataLength', 16),
    bodyLength: fields.integer('bodyLength'),
  }
  fields.end()
  return facts
}

function decodeBatch(fields: JsonFields): BatchFacts {
  const facts = {
    baseOffset: fields.integer('baseOffset'),
    length: fields.integer('length', 1),
    ...(fields.has('endOffset') ? { endOffset: fields.integer('endOffset', 1) } : {}),
    position: fields.integer('position'),
    metadataLength: fields.integer('metadataLength'),
    bodyLength: fields.integer('bodyLength'),
    metadataChecksum: fields.integer('metadataChecksum'),
    columns: fields.arraysOfIntegers('columns'),
    ...decodeTimes(fields),
  }
  fields.end()
  return facts
}

function decodeStatistics(fields: JsonFields): ColumnStatistics {
  const nullCount = fields.integer('nullCount')
  const min = decodeBound(fields, 'min')
  const max = decodeBound(fields, 'max')
  fields.end()
  return { nullCount, ...(min === null ? {} : { min }), ...(max === null ? {} : { max }) }
}

function decodeBound(fields: JsonFields, name: 'min' | 'max'): number | string | null {
  return fields.has(name) ? fields.numberOrText(name) : null
}

/**
 * The preamble, then the blocks, fill the file up to its tail; offsets are dense; every list fits
 * the schema.
 */
function checkRelations(facts: SegmentFacts, tailPosition: number, fail: Fail): void {
  const columnCount = facts.schema.fields.length
  if (columnCount === 0 || columnCount > STORED_COLUMNS_MAX) fail(`it has ${columnCount} columns`)
  if (facts.statistics.length !== columnCount) fail('its statistics are not one a column')
  if (!facts.schema.fields.some((field) => field.name === facts.timeColumn))
    fail('its time column is not in its schema')
  checkDictionaries(facts, fail)
  let position = facts.preambleLength
  for (const batch of facts.batches) {
    if (batch.position !== position) fail(`a block begins at ${batch.position}, not ${position}`)
    if (batch.length > BATCH_ROWS_MAX) fail(`a block has ${batch.length} rows`)
    checkColumns(batch, facts, fail)
    position += batch.metadataLength + batch.bodyLength
  }
  if (position !== tailPosition) fail(`its blocks end at ${position}, not ${tailPosition}`)
  if (facts.sparse === undefined) checkDense(facts, fail)
  else checkSparse(facts, facts.sparse, fail)
}

function checkDense({ baseOffset, endOffset, batches }: SegmentFacts, fail: Fail): void {
  let offset = baseOffset
  for (const batch of batches) {
    if (batch.endOffset !== undefined) fail('a block of consecutive offsets says where it ends')
    if (batch.baseOffset !== offset)
      fail(`a block begins at offset ${batch.baseOffset}, not ${offset}`)
    offset += batch.length
  }
  if (offset !== endOffset || batches.length === 0)
    fail(`its blocks end at offset ${offset}, not ${endOffset}`)
}

/** Offsets of the blocks ascend within those of the segment; which ones they are, the blocks' columns say. */
function checkSparse(
  { baseOffset, endOffset, batches }: SegmentFacts,
  { records }: SparseFacts,
  fail: Fail,
): void {
  let offset = baseOffset
  let rows = 0
  for (const batch of batches) {
    const end = batch.endOffset ?? fail('a block does not say where it ends')
    if (batch.baseOffset < offset || end - batch.baseOffset < batch.length)
      fail(`a block cannot have offsets [${batch.baseOffset}, ${end})`)
    offset = end
    rows += batch.length
  }
  if (offset > endOffset) fail(`its blocks end at offset ${offset}, not ${endOffset}`)
  if (rows !== records || rows >= endOffset - baseOffset) fail(`it cannot have ${rows} records`)
}

function checkColumns(batch: BatchFacts, facts: SegmentFacts, fail: Fail): void {
  if (facts.format === 'parquet') {
    parquetColumns(batch, facts, fail)
    return
  }
  if (batch.metadataLength < 16) fail(`a block has ${batch.metadataLength} bytes of metadata`)
  storedColumns(batch, columnShapes(facts), fail)
}

function checkDictionaries(facts: SegmentFacts, fail: Fail): void {
  if (facts.format === 'parquet' && facts.dictionaries.length > 0)
    fail('a dictionary belongs to no row group')
  let end = facts.dictionaries[0]?.position ?? facts.preambleLength
  let column = -1
  for (const dictionary of facts.dictionaries) {
    if (dictionary.column <= column) fail('its dictionaries are not in the order of columns')
    if (dictionary.length > DICTIONARY_ENTRIES_MAX)
      fail(`a dictionary has ${dictionary.length} values`)
    if (facts.schema.fields[dictionary.column]?.type !== 'utf8')
      fail('a dictionary belongs to no text column')
    if (dictionary.position !== end)
      fail(`a dictionary begins at ${dictionary.position}, not ${end}`)
    column = dictionary.column
    end += dictionary.metadataLength + dictionary.bodyLength
  }
  if (end !== facts.preambleLength)
    fail(`its dictionaries end at ${end}, not ${facts.preambleLength}`)
}

function unknownVersion(version: number): StratalogError {
  return new StratalogError(
    'format_unsupported',
    `The segment has format version ${version}; this program reads version ${SEGMENT_FORMAT_VERSION}.`,
    { details: { formatVersion: version } },
  )
}
