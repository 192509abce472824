import { expect, test } from 'vitest'
import { encodePack } from '../../../src/format/pack.ts'
import { packPath } from '../../../src/format/paths.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import { COLLECT_GRACE_MS, collectArchive } from '../../../src/tiering/collect.ts'
import type { Orphan } from '../../../src/tiering/orphans.ts'
import { expectError } from '../../support/expect-error.ts'
import { appendRows } from '../../support/live-logs.ts'
import { type Bench, eager, tieringBench } from '../../support/tiering.ts'

/** Logs of ten records each, whose segments share a pack in the archive. */
async function packedLogs(bench: Bench): Promise<readonly LiveLog[]> {
  const logs: LiveLog[] = []
  for (let number = 0; number < 5; number++) {
    const log = await bench.addLog({ policy: eager({ diskTtl: 1e9 }) })
    logs.push(log)
    await appendRows(
      log,
      Array.from({ length: 10 }, (_, n) => ({ n })),
    )
  }
  await bench.scheduler.run()
  return logs
}

/** A pack that a crash left, of segments that begin there. */
async function leftOver(
  bench: Bench,
  places: readonly (readonly [logId: number, baseOffset: number])[],
): Promise<string> {
  const { bytes, sha256 } = encodePack(
    places.map(([logId, baseOffset]) => ({
      name: { logId, partition: 0, baseOffset, sha256: 'e'.repeat(64), format: 'arrow' },
      bytes: new Uint8Array([logId, baseOffset]),
    })),
  )
  await bench.objects.put(packPath(sha256), bytes)
  return packPath(sha256)
}

async function collect(bench: Bench): Promise<readonly Orphan[]> {
  return (await collectArchive(bench.context, { orphans: true })).orphans
}

test('a pack whose segments all lie elsewhere is removed in a sweep a grace later', async () => {
  const bench = await tieringBench()
  const [one, other] = await packedLogs(bench)
  const pack = await leftOver(bench, [
    [one?.id ?? 0, 0],
    [other?.id ?? 0, 0],
  ])
  const position = { object: pack, position: 0, length: 1 }
  expect(await bench.archive.hasPack(position)).toBe(true)
  expect(await collect(bench)).toMatchObject([{ key: pack, kind: 'pack', state: 'waiting' }])
  bench.clock.advance(COLLECT_GRACE_MS)
  expect(await collect(bench)).toMatchObject([{ key: pack, kind: 'pack', state: 'removed' }])
  expect(await bench.objects.head(pack)).toBeNull()
  // A removal may take effect late: nothing is put there, or named there, again.
  expect(await collect(bench)).toEqual([])
  await expectError(bench.archive.putSegment(pack, new Uint8Array(1), ''), 'object_exists')
  await leftOver(bench, [
    [one?.id ?? 0, 0],
    [other?.id ?? 0, 0],
  ])
  expect(await bench.archive.hasPack(position)).toBe(false)
})

test('a pack stays that is named, that may be all there is of some records, or that says nothing', async () => {
  const bench = await tieringBench()
  const [one, other] = await packedLogs(bench)
  const named = one?.partition(0).segments.at(0)?.object?.object ?? ''
  expect(named).toMatch(/^packs\//)
  const behind = await leftOver(bench, [
    [one?.id ?? 0, 0],
    [other?.id ?? 0, 10],
  ])
  const unknown = await leftOver(bench, [[99, 0]])
  const damaged = packPath('d'.repeat(64))
  await bench.objects.put(damaged, new Uint8Array(100))
  await collect(bench)
  bench.clock.advance(COLLECT_GRACE_MS)
  expect(await collect(bench)).toEqual([])
  for (const pack of [named, behind, unknown, damaged])
    expect(await bench.objects.head(pack), pack).not.toBeNull()
})

test('a pack of segments that were retired goes in their own time', async () => {
  const bench = await tieringBench()
  const [one] = await packedLogs(bench)
  const named = one?.partition(0).segments.at(0)?.object?.object ?? ''
  await bench.archive.commitEdits(() => [
    { kind: 'start-moved', logId: one?.id ?? 0, partition: 0, startOffset: 10, retiredAt: 0 },
  ])
  expect(await collect(bench)).toEqual([])
  expect(await bench.objects.head(named)).not.toBeNull()
})
