/** Which old versions stay where the archive or a snapshot needs them, and looks that come to no end. */
import { expect, test, vi } from 'vitest'
import { StratalogError } from '../../../src/base/errors.ts'
import type { Row } from '../../../src/format/schema-inference.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import { SupersededRecords } from '../../../src/log/superseded-records.ts'
import { readPartition } from '../../../src/log/view-reader.ts'
import { createSnapshot } from '../../../src/snapshot/create.ts'
import { keepLatest, keepLatestOnly } from '../../../src/tiering/keep-latest.ts'
import { lastLook } from '../../../src/tiering/latest-looks.ts'
import { retireArchived, retirePartition } from '../../../src/tiering/retire.ts'
import { appendRows } from '../../support/live-logs.ts'
import { type Bench, eager, tieringBench } from '../../support/tiering.ts'

/** A log with a segment of each group of rows, all of them in the archive and out of RAM. */
async function filled(bench: Bench, groups: readonly (readonly Row[])[]): Promise<LiveLog> {
  const policy = eager({ keep: 'latest' })
  const log = await bench.addLog({ policy, definition: { keyColumn: 'key' } })
  for (const rows of groups) await addSegment(bench, log, rows)
  return log
}

async function addSegment(bench: Bench, log: LiveLog, rows: readonly Row[]): Promise<void> {
  await appendRows(log, rows)
  await bench.scheduler.now([log], 'object')
  log.partition(0).dropHot(log.partition(0).flushedEnd)
}

function versions(keys: string, from = 0): Row[] {
  return Array.from(keys, (key, n) => ({ key, n: from + n, _deleted: false }))
}

async function offsets(log: LiveLog): Promise<number[]> {
  const view = log.view()
  const found: number[] = []
  for await (const { batch } of readPartition(view, 0, { onGap: 'skip' }))
    found.push(...Array.from({ length: batch.length }, (_, row) => batch.baseOffset + row))
  view.release()
  return found
}

test('a tombstone stays until the archive is told that what it deleted is retired', async () => {
  const bench = await tieringBench()
  const { context } = bench
  const log = await filled(bench, [
    versions('a'),
    [{ key: 'a', n: 1, _deleted: true }, ...versions('z', 2)],
  ])
  const partition = log.partition(0)
  await retirePartition(context, log, partition, 1)
  for (let look = 0; look < 3; look++) await keepLatestOnly(context, log, partition, [])
  expect(bench.archive.state?.logs.get(log.id)?.partitions[0]?.startOffset).toBe(0)
  expect(await offsets(log)).toEqual([1, 2])
  await retireArchived(context, log)
  await keepLatestOnly(context, log, partition, [])
  expect(await offsets(log)).toEqual([2])
})

test('a snapshot whose commit got no answer keeps what it holds, once it is known', async () => {
  const bench = await tieringBench()
  const { context, archive } = bench
  const log = await filled(bench, [versions('ab'), versions('ab', 2)])
  const partition = log.partition(0)
  const { definition } = log
  const pinned = [{ definition, partitions: [{ partition: 0, startOffset: 0, endOffset: 2 }] }]
  bench.lostReply = (step) => /^object (put|get) manifest/.test(step)
  const snapshot = archive.commitSnapshot([log], (state) => {
    const request = { id: 'id', name: 's', time: 0, newBytes: 0, pinned }
    return createSnapshot(state, request).edits
  })
  await expect(snapshot).rejects.toThrow('no answer')
  bench.lostReply = () => false
  expect(archive.state?.snapshots.size).toBe(0)
  expect(await keepLatestOnly(context, log, partition, [])).toEqual([])
  expect(archive.state?.snapshots.size).toBe(1)
  await keepLatestOnly(context, log, partition, [])
  expect(await offsets(log)).toEqual([0, 1, 2, 3])
})

test('a look that too many keys end notes what it looked at, and is not made again for the rest', async () => {
  const bench = await tieringBench()
  const { context } = bench
  const log = await filled(bench, [versions('aab'), versions('cdefghijkl', 3)])
  const partition = log.partition(0)
  const full = vi.spyOn(SupersededRecords.prototype, 'add').mockImplementation(() => {
    throw new StratalogError('query_limit', 'too many')
  })
  await keepLatest(context, log, partition)
  expect(lastLook(partition)).toEqual({ lookedTo: 0, triedTo: 13 })
  full.mockClear()
  await bench.scheduler.run()
  expect(full).not.toHaveBeenCalled()
  full.mockRestore()
})
