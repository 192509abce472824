/** Records as an Arrow IPC stream on standard output. */
import {
  ARROW_STREAM_END,
  encodeStreamBatch,
  encodeStreamSchema,
} from '../../format/arrow-output.ts'
import type { Field } from '../../format/schema.ts'
import type { Session } from '../session.ts'
import type { RecordOutput } from './output-format.ts'

export function arrowOutput(session: Session): RecordOutput {
  let hasSchema = false
  const begin = async (fields: readonly Field[]): Promise<void> => {
    if (!hasSchema) await session.terminal.write(encodeStreamSchema(fields))
    hasSchema = true
  }
  return {
    write: async (chunk) => {
      await begin(chunk.fields)
      await session.terminal.write(encodeStreamBatch(chunk))
    },
    end: async (fields) => {
      await begin(fields)
      await session.terminal.write(ARROW_STREAM_END)
    },
  }
}
