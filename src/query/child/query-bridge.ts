/**
 * Stands between the main thread and a query process, in a thread of its own: it sees the batches in RAM that the
 * process asks for, so neither copying them nor the rows of results takes the main thread's time.
 *
 * A batch may be read until its query's last message has gone to the main thread, which then lets go of it. The process
 * asks only in the middle of a scan, and says its last word after the last scan, so no answer is too late.
 */
import { present } from '../../base/assert.ts'
import type { RecordBatch } from '../../format/record-batch.ts'
import type { BatchSource, FromWorker, ScanSource, ToWorker } from '../protocol.ts'
import {
  type ColumnRequest,
  type FromBridge,
  type FromChild,
  type ToBridge,
  type ToChild,
  remoteSource,
} from './child-protocol.ts'
import { answerPieces } from './column-frames.ts'
import { packColumns, unpackColumns } from './packed-columns.ts'

export interface BridgePorts {
  readonly toMain: (message: FromBridge, transfer?: readonly ArrayBuffer[]) => void
  readonly toChild: (message: ToChild) => void
  /** Writes pieces to the pipe for columns, in this order. */
  readonly answer: (pieces: readonly Uint8Array[]) => void
  readonly kill: () => void
}

export class QueryBridge {
  readonly #ports: BridgePorts
  /** By query, the batches that its sources name. */
  readonly #batches = new Map<number, readonly RecordBatch[]>()

  constructor(ports: BridgePorts) {
    this.#ports = ports
  }

  receive(message: ToBridge): void {
    if (message.kind === 'kill') this.#ports.kill()
    else this.#ports.toChild(message.kind === 'run' ? this.#withoutBatches(message) : message)
  }

  receiveFromChild(message: FromChild): void {
    if (message.kind !== 'packed') {
      if (message.kind === 'done' || message.kind === 'failed') this.#batches.delete(message.query)
      this.#ports.toMain(message)
      return
    }
    const { query, length, plans, bytes } = message
    // A copy that begins where its ArrayBuffer does, and nobody else's.
    const packed = new Uint8Array(message.packed).buffer
    const chunk: FromWorker = {
      kind: 'chunk',
      query,
      chunk: { length, columns: unpackColumns(plans, packed) },
      bytes,
    }
    this.#ports.toMain(chunk, [packed])
  }

  answer({ query, reference, positions }: ColumnRequest): void {
    const batch = this.#batches.get(query)?.[reference]
    if (batch === undefined) {
      this.#ports.answer(answerPieces(null))
      return
    }
    const packed = positions.map((position) =>
      packColumns([present(batch.columns[position], 'a column')]),
    )
    this.#ports.answer(answerPieces(packed))
  }

  #withoutBatches(run: Extract<ToWorker, { readonly kind: 'run' }>): ToChild {
    const batches: RecordBatch[] = []
    const name = (source: BatchSource): ScanSource => {
      batches.push(source.batch)
      return remoteSource(source, run.query, batches.length - 1)
    }
    const sources = run.sources.map((table) =>
      table.map((source) => (source.kind === 'batch' ? name(source) : source)),
    )
    this.#batches.set(run.query, batches)
    return { ...run, sources }
  }
}
