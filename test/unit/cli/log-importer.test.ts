/** Columns go out a few appends at a time, and none behind one that was refused. */
import { expect, test } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import { StratalogError } from '../../../src/base/errors.ts'
import type { AppendTarget, ColumnRecords } from '../../../src/cli/append-target.ts'
import { LogImporter } from '../../../src/cli/input/log-importer.ts'
import { Rejects } from '../../../src/cli/input/rejects.ts'
import { createColumnBuilder } from '../../../src/format/column-builder.ts'
import { HEAP_BUFFERS } from '../../../src/format/growing-column.ts'
import { eventually } from '../../support/eventually.ts'
import { expectError } from '../../support/expect-error.ts'

const one = (n: number): ColumnRecords => {
  const builder = createColumnBuilder('int32', HEAP_BUFFERS)
  builder.push(n)
  const fields = [{ name: 'n', type: 'int32', nullable: false } as const]
  return { fields, columns: [builder.slice(0, 1)], length: 1 }
}

/** Acknowledges an append when it is told to. */
class SlowLog {
  begun = 0
  readonly #done: Array<{ resolve: () => void; reject: (error: unknown) => void }> = []

  target(inFlightMax: number): AppendTarget {
    const append = async (): Promise<object> => {
      const offset = this.begun++
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      this.#done[offset] = { resolve, reject }
      await promise
      return { partition: 0, offset, count: 1 }
    }
    const facts = { partitions: 1, keyColumn: null, appendBytesMax: 1_000, sizeOf: () => 4 }
    return { ...facts, inFlightMax, append } as unknown as AppendTarget
  }

  acknowledge(index: number): void {
    this.#done[index]?.resolve()
  }

  refuse(index: number): void {
    this.#done[index]?.reject(new StratalogError('engine_closed', 'refused'))
  }
}

function importerOf(log: SlowLog, inFlightMax = 256): LogImporter {
  const { signal } = new AbortController()
  const options = { batchRecords: 10, signal, clock: systemClock }
  return new LogImporter(log.target(inFlightMax), new Rejects(null), options)
}

async function addAll(importer: LogImporter, count: number): Promise<void> {
  for (let n = 0; n < count; n++) await importer.addColumns(one(n))
  await importer.flush()
}

test('four appends of columns are under way at once, and all of them are waited for', async () => {
  const log = new SlowLog()
  const importer = importerOf(log)
  const added = addAll(importer, 6)
  await eventually(() => expect(log.begun).toBe(4))
  log.acknowledge(0)
  await eventually(() => expect(log.begun).toBe(5))
  for (let index = 1; index < 5; index++) log.acknowledge(index)
  await eventually(() => expect(log.begun).toBe(6))
  expect(importer.records).toBe(5)
  log.acknowledge(5)
  await added
  expect(importer.ranges).toEqual([{ partition: 0, from: 0, to: 6 }])
})

test('one at a time goes where only that keeps their order', async () => {
  const log = new SlowLog()
  const added = addAll(importerOf(log, 1), 2)
  await eventually(() => expect(log.begun).toBe(1))
  await systemClock.yield()
  expect(log.begun).toBe(1)
  log.acknowledge(0)
  await eventually(() => expect(log.begun).toBe(2))
  log.acknowledge(1)
  await added
})

test('nothing goes out behind an append that was refused, and those beside it are waited for', async () => {
  const log = new SlowLog()
  const importer = importerOf(log)
  const added = addAll(importer, 9)
  added.catch(() => {})
  await eventually(() => expect(log.begun).toBe(4))
  log.refuse(1)
  await systemClock.yield()
  let hasEnded = false
  const ended = added.finally(() => (hasEnded = true))
  ended.catch(() => {})
  await systemClock.yield()
  expect(hasEnded).toBe(false)
  for (const index of [0, 2, 3]) log.acknowledge(index)
  await expectError(added, 'engine_closed')
  expect(log.begun).toBe(4)
  expect(importer.records).toBe(3)
})
