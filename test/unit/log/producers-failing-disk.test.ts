/** Producers whose appends meet a disk that fails: what is taken back is forgotten, what is logged again is not. */
import { expect, test } from 'vitest'
import { StratalogError } from '../../../src/base/errors.ts'
import type { AckLevel } from '../../../src/format/manifest.ts'
import type { AppendResult, LiveLog } from '../../../src/log/live-log.ts'
import { MemorySyncFileSystem } from '../../../src/storage/memory-sync-file-system.ts'
import { diskBench, numbersOf } from '../../support/disk-bench.ts'

function append(log: LiveLog, sequence: number, ack: AckLevel): Promise<AppendResult> {
  const terms = {
    expiresAt: Infinity,
    priority: 0,
    producer: { producerId: 'a', epoch: 3, sequence },
  }
  return log.append(log.partition(0), { kind: 'rows', rows: [{ n: sequence }] }, ack, 1_000, terms)
}

/** The next sync fails. */
function failOnce(fileSystem: MemorySyncFileSystem): void {
  fileSystem.faults = ({ kind, path }): undefined => {
    if (kind !== 'dataSync') return
    fileSystem.faults = (): undefined => undefined
    throw new StratalogError('file_system_failed', `Cannot sync ${path}: EIO.`, {
      details: { path, operation: 'sync', errno: 'EIO' },
    })
  }
}

test('an append that was taken back is applied by its retry, once', async () => {
  const fileSystem = new MemorySyncFileSystem()
  const bench = diskBench(fileSystem)
  const first = append(bench.durable, 0, 'disk')
  await bench.settle()
  expect(await first).toEqual({ partition: 0, offset: 0, count: 1 })
  failOnce(fileSystem)
  const refused = append(bench.durable, 1, 'disk').catch((error: unknown) => error)
  await bench.settle()
  expect(await refused).toMatchObject({ code: 'disk_failed', details: { fate: 'unknown' } })
  await bench.heal()
  const retry = append(bench.durable, 1, 'disk')
  await bench.settle()
  expect(await retry).toEqual({ partition: 0, offset: 1, count: 1 })
  expect(await append(bench.durable, 1, 'disk')).toMatchObject({ offset: 1, isDuplicate: true })
  expect(numbersOf(bench.durable)).toEqual([0, 1])
})

test('the first append of a producer that was taken back is its first again', async () => {
  const fileSystem = new MemorySyncFileSystem()
  const bench = diskBench(fileSystem)
  failOnce(fileSystem)
  const refused = append(bench.durable, 0, 'disk').catch((error: unknown) => error)
  await bench.settle()
  expect(await refused).toBeInstanceOf(StratalogError)
  await bench.heal()
  const retry = append(bench.durable, 0, 'disk')
  await bench.settle()
  expect(await retry).toEqual({ partition: 0, offset: 0, count: 1 })
})

test('an append that stayed in RAM and was logged again is known after a crash', async () => {
  const fileSystem = new MemorySyncFileSystem()
  const bench = diskBench(fileSystem)
  failOnce(fileSystem)
  expect(await append(bench.fast, 0, 'memory')).toMatchObject({ offset: 0 })
  await bench.settle()
  expect(await append(bench.fast, 0, 'memory')).toMatchObject({ offset: 0, isDuplicate: true })
  await bench.heal()
  await bench.settle()
  fileSystem.crash()
  const after = diskBench(fileSystem, { epoch: bench.epoch() + 1 })
  expect(numbersOf(after.fast)).toEqual([0])
  expect(await append(after.fast, 0, 'memory')).toMatchObject({ offset: 0, isDuplicate: true })
})
