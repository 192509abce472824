/**
 * Records as an Arrow IPC file, piece by piece: a stream between two magic words, with a footer behind it that says
 * where each batch is.
 *
 *     "ARROW1" 0 0 | schema | batch … | end of stream | footer | footer length u32 | "ARROW1"
 */
import {
  ARROW_MAGIC,
  END_OF_STREAM,
  type MessagePlace,
  encodeBatch,
  encodeFooter,
  encodeSchema,
  padded,
  writtenColumn,
} from './arrow-message.ts'
import type { ColumnRows } from './arrow-output.ts'
import { flattenColumn } from './column-concat.ts'
import type { Field } from './schema.ts'

export class ArrowFileEncoder {
  readonly #batches: MessagePlace[] = []
  #fields: readonly Field[] = []
  #position = 0

  begin(fields: readonly Field[]): Uint8Array {
    this.#fields = fields
    const magic = new Uint8Array(padded(ARROW_MAGIC.length))
    magic.set(ARROW_MAGIC)
    const start = Buffer.concat([magic, encodeSchema(fields)])
    this.#position = start.length
    return start
  }

  chunk({ columns, length }: ColumnRows): Uint8Array {
    const written = columns.map((column) => writtenColumn(flattenColumn(column)))
    const { bytes, metadataLength, bodyLength } = encodeBatch(written, length, { compress: false })
    this.#batches.push({ position: this.#position, metadataLength, bodyLength })
    this.#position += bytes.length
    return bytes
  }

  end(): Uint8Array {
    const footer = encodeFooter(this.#fields, [], this.#batches, [])
    const length = new Uint8Array(4)
    new DataView(length.buffer).setUint32(0, footer.length, true)
    return Buffer.concat([END_OF_STREAM, footer, length, ARROW_MAGIC])
  }
}
