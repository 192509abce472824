/** Records as a file or an answer: NDJSON, a JSON array, CSV, Arrow (a stream or a file) or Parquet, piece by piece. */
import type { Field } from '../format/schema.ts'
import { type RecordChunk, toNdjson } from './ndjson.ts'
import type { FieldChunk, RecordEncoder, RecordFormat } from './record-format.ts'
import { csvHeader, toCsv } from './text-records.ts'

/** What only Arrow and Parquet need is loaded with the first file of theirs. */
export async function openRecordEncoder(format: RecordFormat): Promise<RecordEncoder> {
  switch (format) {
    case 'ndjson':
      return { begin: () => '', chunk: (chunk) => toNdjson(named(chunk)), end: () => '' }
    case 'json':
      return jsonArrayEncoder()
    case 'csv':
      return {
        begin: (fields) => csvHeader(namesOf(fields)),
        chunk: (chunk) => toCsv(named(chunk)),
        end: () => '',
      }
    case 'arrow': {
      const arrow = await import('../format/arrow-output.ts')
      return {
        begin: arrow.encodeStreamSchema,
        chunk: arrow.encodeStreamBatch,
        end: () => arrow.ARROW_STREAM_END,
      }
    }
    case 'arrow-file': {
      const { ArrowFileEncoder } = await import('../format/arrow-file.ts')
      return new ArrowFileEncoder()
    }
    case 'parquet': {
      const { ParquetEncoder } = await import('./parquet-records.ts')
      return new ParquetEncoder()
    }
  }
}

function jsonArrayEncoder(): RecordEncoder {
  let isFirst = true
  return {
    begin: () => '[',
    chunk: (chunk) => {
      const lines = toNdjson(named(chunk)).trimEnd().replaceAll('\n', ',')
      const text = chunk.length === 0 ? '' : `${isFirst ? '' : ','}${lines}`
      isFirst &&= chunk.length === 0
      return text
    },
    end: () => ']',
  }
}

function namesOf(fields: readonly Field[]): readonly string[] {
  return fields.map(({ name }) => name)
}

/** A batch of a log has its columns by getters, which a spread leaves out. */
export function named({ fields, columns, length, sqlTypes }: FieldChunk): RecordChunk {
  const names = namesOf(fields)
  return { names, columns, length, ...(sqlTypes === undefined ? {} : { sqlTypes }) }
}
