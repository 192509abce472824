/** Arrow IPC bytes, by any Arrow writer, as columns. What reads them is loaded with the first of them. */
import type { Table } from 'apache-arrow'
import { StratalogError } from '../base/errors.ts'
import { type ArrowColumns, inputInvalid, readArrowBatches } from './arrow-input.ts'
import { KnownStreams } from './arrow-known-stream.ts'
import { BLOCK_RAW_BYTES_MAX } from './limits.ts'

/**
 * The batches of an Arrow IPC stream or file.
 *
 * @throws StratalogError as `readArrowInput`.
 */
export async function parseArrowIpc(bytes: Uint8Array): Promise<ArrowColumns[]> {
  const known = knownStreams.read(bytes)
  if (known !== null) return readArrowBatches({ batches: known })
  const { CompressionType, compressionRegistry, tableFromIPC } = await import('apache-arrow')
  const { decompressFrameBelow } = await import('./lz4.ts')
  if (compressionRegistry.get(CompressionType.LZ4_FRAME) === null) {
    compressionRegistry.set(CompressionType.LZ4_FRAME, {
      decode: (frame) => decompressFrameBelow(frame, BLOCK_RAW_BYTES_MAX),
    })
  }
  const { ipcProblem } = await import('./arrow-ipc-check.ts')
  const problem = ipcProblem(bytes)
  if (problem !== null) throw inputInvalid(`This is no Arrow IPC data: ${problem}.`)
  let table: Table
  try {
    table = tableFromIPC(bytes)
  } catch (error) {
    const given = error instanceof Error ? UNRECOGNIZED_TYPE.exec(error.message)?.[1] : undefined
    if (given !== undefined) throw unrecognizedType(given)
    throw inputInvalid(
      `This is no Arrow IPC data: ${error instanceof Error ? error.message : String(error)}.`,
      error,
    )
  }
  // Bytes that are nothing of Arrow's may come as a table of nothing.
  if (table.schema.fields.length === 0)
    throw inputInvalid('This is no Arrow IPC data: it has no columns.')
  knownStreams.note(bytes, table.schema)
  return readArrowBatches(table)
}

/** Of this thread: a schema comes again and again. */
const knownStreams = new KnownStreams()

/** How apache-arrow names a type that it cannot read, as of list views and run-end encoded columns. */
const UNRECOGNIZED_TYPE = /Unrecognized type: "(\w+)"/

function unrecognizedType(given: string): StratalogError {
  return new StratalogError(
    'type_unsupported',
    `No column type holds Arrow's ${given}; cast it to a plain list or to plain values before it is appended.`,
    { details: { given } },
  )
}
