/** Copies that lie in packs: looked at where they lie, and put back there without touching what lies beside them. */
import { expect, test } from 'vitest'
import { quarantineOf } from '../../../src/engine/quarantine.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import type { Location } from '../../../src/format/manifest.ts'
import { isPackPath } from '../../../src/format/paths.ts'
import { Scrubber } from '../../../src/tiering/scrubber.ts'
import type { ScrubReport } from '../../../src/tiering/scrub-report.ts'
import { appendRows } from '../../support/live-logs.ts'
import { type Bench, DATA_DIR, eager, tieringBench } from '../../support/tiering.ts'

const LOGS = 6

interface Place {
  readonly bench: Bench
  readonly logs: readonly LiveLog[]
  readonly scrubber: Scrubber
}

/** Small logs whose segments share a pack on disk, and one in the archive. */
async function packed(): Promise<Place> {
  const bench = await tieringBench()
  await bench.files.makeDirectory(`${DATA_DIR}/quarantine`)
  const logs: LiveLog[] = []
  for (let index = 0; index < LOGS; index++) {
    const log = await bench.addLog({ policy: eager() })
    await appendRows(
      log,
      Array.from({ length: 5 }, (_, row) => ({ n: index * 100 + row })),
    )
    logs.push(log)
  }
  await bench.scheduler.now(logs, 'object')
  const place = { dataDir: DATA_DIR, fileSystem: bench.files, logger: bench.logger }
  const settings = { intervalMs: 0, bytesPerSecond: 1e9 }
  return { bench, logs, scrubber: new Scrubber(bench.context, quarantineOf(place), settings) }
}

function locationOf({ logs }: Place, index: number, tier: 'disk' | 'object'): Location {
  const [segment] = logs[index]?.partition(0).segments ?? []
  const location = segment?.[tier] ?? null
  if (location === null || !isPackPath(location.object)) throw new Error('it lies in a pack')
  return location
}

async function read({ bench }: Place, tier: 'disk' | 'object', path: string): Promise<Uint8Array> {
  return tier === 'disk' ? bench.files.read(`${DATA_DIR}/${path}`) : bench.objects.get(path)
}

async function write(
  { bench }: Place,
  tier: 'disk' | 'object',
  path: string,
  bytes: Uint8Array | null,
): Promise<void> {
  if (tier === 'object') {
    if (bytes === null) await bench.objects.remove(path)
    else await bench.objects.put(path, bytes)
    return
  }
  await bench.files.remove(`${DATA_DIR}/${path}`)
  if (bytes === null) return
  const file = await bench.files.create(`${DATA_DIR}/${path}`)
  await file.write(bytes)
  await file.close()
}

function scrub({ scrubber }: Place): Promise<ScrubReport> {
  return scrubber.scrub({ logIds: null, repair: true })
}

function flippedAt(bytes: Uint8Array, position: number): Uint8Array {
  const copy = new Uint8Array(bytes)
  copy[position] = (copy[position] ?? 0) ^ 1
  return copy
}

test('copies in sound packs are sound', async () => {
  const place = await packed()
  const report = await scrub(place)
  expect(report).toMatchObject({ files: 2 * LOGS, problems: [], repaired: [] })
})

test.each(['disk', 'object'] as const)(
  'a segment in a pack (%s) is put back, and its neighbours stay',
  async (tier) => {
    const place = await packed()
    const { object, position, length } = locationOf(place, 3, tier)
    const before = await read(place, tier, object)
    await write(place, tier, object, flippedAt(before, position + (length >> 1)))
    const report = await scrub(place)
    expect(report.problems).toEqual([])
    expect(report.repaired).toMatchObject([{ log: 'log-4', tier, kind: 'checksum' }])
    expect(Buffer.from(await read(place, tier, object)).equals(before)).toBe(true)
    expect(await place.bench.files.list(`${DATA_DIR}/quarantine`)).toHaveLength(1)
  },
)

test.each(['disk', 'object'] as const)(
  'a pack (%s) that was cut short is whole again',
  async (tier) => {
    const place = await packed()
    const { object, position } = locationOf(place, 2, tier)
    const before = await read(place, tier, object)
    await write(place, tier, object, before.slice(0, position + 10))
    const report = await scrub(place)
    expect(report.problems).toEqual([])
    expect(report.repaired.length).toBeGreaterThan(0)
    expect(Buffer.from(await read(place, tier, object)).equals(before)).toBe(true)
  },
)

test.each(['disk', 'object'] as const)('a pack (%s) that is gone is made again', async (tier) => {
  const place = await packed()
  const { object } = locationOf(place, 0, tier)
  const before = await read(place, tier, object)
  await write(place, tier, object, null)
  const report = await scrub(place)
  expect(report.problems).toEqual([])
  expect(Buffer.from(await read(place, tier, object)).equals(before)).toBe(true)
})

test('a pack that is gone stays so where a segment of it has no other copy, and is reported', async () => {
  const place = await packed()
  const { object } = locationOf(place, 0, 'object')
  const { object: file, position, length } = locationOf(place, 1, 'disk')
  await write(place, 'object', object, null)
  await write(
    place,
    'disk',
    file,
    flippedAt(await read(place, 'disk', file), position + (length >> 1)),
  )
  const report = await scrub(place)
  expect(report.problems.length).toBeGreaterThan(0)
  expect(await place.bench.objects.head(object)).toBeNull()
  // What lies beside the damaged one on disk is as it was.
  for (const index of [0, 2, 3]) {
    const { position: at, length: bytes } = locationOf(place, index, 'disk')
    expect((await read(place, 'disk', file)).slice(at, at + bytes)).toHaveLength(bytes)
  }
})

test('a pack that reads differently each time is not written again', async () => {
  const place = await packed()
  const { objects } = place.bench
  const { object, position, length } = locationOf(place, 3, 'object')
  const damaged = flippedAt(await read(place, 'object', object), position + (length >> 1))
  await write(place, 'object', object, damaged)
  const neighbour = locationOf(place, 1, 'object')
  const getting = objects.get.bind(objects)
  let reads = 0
  objects.get = async (key, options) => {
    const bytes = await getting(key, options)
    const isFirst = key === object && options?.range === undefined && reads++ === 0
    return isFirst ? flippedAt(bytes, neighbour.position + 10) : bytes
  }
  const first = await scrub(place)
  expect(first.problems).toMatchObject([{ log: 'log-4', tier: 'object' }])
  expect(first.problems[0]?.reason).toContain('Not repaired: ')
  expect(Buffer.from(await getting(object)).equals(damaged)).toBe(true)
  expect(await scrub(place)).toMatchObject({ problems: [], repaired: [{ log: 'log-4' }] })
})
