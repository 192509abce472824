/** The appends of one client to one log: which partition each goes to, and the lanes to them. */
import { StratalogError, isStratalogError, throwIfAborted } from '../base/errors.ts'
import { keyText, partitionOfKey } from '../base/key-text.ts'
import { randomHex } from '../base/random.ts'
import type { AppendOptions } from '../engine/append-options.ts'
import type { AppendResult } from '../log/live-log.ts'
import { type AppendBody, appendBody } from './append-body.ts'
import { AppendLane, producerHeaders } from './append-lane.ts'
import { type Transport, pathOf } from './transport.ts'

interface Placement {
  readonly partitions: number
  readonly keyColumn: string | null
}

const PRODUCER_ID_BYTES = 12

export class Appender {
  readonly #transport: Transport
  readonly #log: string
  readonly #path: string
  /** Each lane is a producer of its own, so that a lane can end its epoch without the others. */
  readonly #lanes = new Map<number, AppendLane>()
  #placement: Promise<Placement> | null = null
  #turn = 0

  constructor(transport: Transport, log: string) {
    this.#transport = transport
    this.#log = log
    this.#path = pathOf('logs', log, 'records')
    this.#turn = transport.random.uint32()
  }

  async append(records: object | readonly object[], options: AppendOptions): Promise<AppendResult> {
    const { producer, signal } = options
    const body = await appendBody(records)
    const parameters = parametersOf(options)
    if (producer !== undefined || this.#transport.retries === 0) {
      const headers =
        producer === undefined
          ? {}
          : producerHeaders(producer.producerId, producer.epoch, producer.sequence)
      const { bytes, contentType } = body
      return this.#transport.json<AppendResult>(this.#path, {
        method: 'POST',
        parameters,
        headers,
        body: bytes,
        contentType,
        isRepeatable: producer !== undefined,
        signal,
      })
    }
    try {
      const partition = options.partition ?? (await this.#partitionOf(body, options))
      const isAlone = options.expectedOffset !== undefined
      const terms = { parameters: { ...parameters, partition }, isAlone }
      return await this.#lane(partition).append(body, terms, signal)
    } catch (error) {
      // Another log may have the name next.
      if (isStratalogError(error) && error.kind === 'not_found') this.#forget()
      throw error
    }
  }

  #forget(): void {
    this.#placement = null
    this.#lanes.clear()
  }

  #lane(partition: number): AppendLane {
    const found = this.#lanes.get(partition)
    if (found !== undefined) return found
    const producerId = `client-${randomHex(this.#transport.random, PRODUCER_ID_BYTES)}`
    const lane = new AppendLane(this.#transport, this.#path, producerId)
    this.#lanes.set(partition, lane)
    return lane
  }

  async #partitionOf(
    { rows }: AppendBody,
    { signal, expectedOffset }: AppendOptions,
  ): Promise<number> {
    const { partitions, keyColumn } = await this.#placed(signal)
    if (partitions === 1) return 0
    if (keyColumn === null) {
      if (expectedOffset !== undefined) throw partitionNeeded(this.#log, partitions)
      return this.#turn++ % partitions
    }
    if (rows === null)
      throw new StratalogError(
        'argument_invalid',
        'Columns appended to a log with a key and several partitions need the partition to be named.',
      )
    const places = new Set(
      rows.map((row) => {
        const key = (row as Readonly<Record<string, unknown>>)[keyColumn]
        return partitionOfKey(keyText(key) ?? '', partitions)
      }),
    )
    const [first] = places
    if (places.size === 1 && first !== undefined) return first
    throw new StratalogError(
      'argument_invalid',
      `The keys of this append belong to ${places.size} partitions of '${this.#log}', and an append lands in one. Append the records of each key apart.`,
      { details: { log: this.#log, partitions: [...places] } },
    )
  }

  /** Asked once; what failed is asked again. */
  async #placed(signal: AbortSignal | undefined): Promise<Placement> {
    const asked = (this.#placement ??= this.#transport.json<Placement>(
      pathOf('logs', this.#log, 'placement'),
      { isRepeatable: true },
    ))
    try {
      return await asked
    } catch (error) {
      if (this.#placement === asked) this.#placement = null
      throwIfAborted(signal)
      throw error
    }
  }
}

function parametersOf(
  options: AppendOptions,
): Readonly<Record<string, string | number | undefined>> {
  const { producer: _producer, signal: _signal, adopt: _adopt, ttl, ...rest } = options
  return { ...rest, ttl: typeof ttl === 'number' ? `${ttl}ms` : ttl }
}

function partitionNeeded(log: string, partitions: number): StratalogError {
  return new StratalogError(
    'argument_invalid',
    `expectedOffset is of one partition, and '${log}' has ${partitions}: name the partition.`,
    { details: { log, partitions } },
  )
}
