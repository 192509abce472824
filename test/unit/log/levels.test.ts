/**
 * When an append is acknowledged and when it is read, for every level of a log and every level that an append asks for:
 * the WAL stands still until it is told to go on, and the archive has nothing before it is told to.
 */
import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../../src/base/random.ts'
import type { AckLevel, StoragePolicy } from '../../../src/format/manifest.ts'
import { Machine, openLife } from '../../support/durable-logs.ts'
import { HYBRID_POLICY, logDefinition } from '../../support/manifests.ts'
import { MEMORY_POLICY } from '../../support/live-logs.ts'

type Stage = 'applied' | 'synced' | 'archived'

const NO_ARCHIVE = { archiveAfter: null, diskTtl: null }

/** Policies by what is said of them, with the stage from which on their records are read. */
const LOGS: readonly (readonly [string, StoragePolicy, Stage])[] = [
  ['memory', MEMORY_POLICY, 'applied'],
  [
    'persistent, ack memory',
    policy({ mode: 'persistent', ack: 'memory', ...NO_ARCHIVE }),
    'applied',
  ],
  ['persistent, ack disk', policy({ mode: 'persistent', ...NO_ARCHIVE }), 'synced'],
  ['hybrid, ack memory', policy({ ack: 'memory' }), 'applied'],
  ['hybrid, ack disk', policy({}), 'synced'],
  ['hybrid, ack object', policy({ ack: 'object' }), 'archived'],
  ['hybrid without a WAL, ack memory', policy({ wal: false, ack: 'memory' }), 'applied'],
  ['hybrid without a WAL, ack object', policy({ wal: false, ack: 'object' }), 'archived'],
  ['hybrid without a disk, ack disk', policy({ localDisk: false }), 'synced'],
  ['hybrid without a disk, ack object', policy({ localDisk: false, ack: 'object' }), 'archived'],
]

const STAGES: readonly Stage[] = ['applied', 'synced', 'archived']

function policy(changes: Partial<StoragePolicy>): StoragePolicy {
  return { ...HYBRID_POLICY, ...changes }
}

/** What an append has reached by a stage, and whether it is read. */
interface Seen {
  readonly isRead: boolean
  readonly acknowledged: readonly AckLevel[]
}

async function observe(policyOfLog: StoragePolicy): Promise<Record<Stage, Seen>> {
  const machine = new Machine(seededRandom(1))
  const life = await openLife(machine, logDefinition(1, { timeColumn: null, policy: policyOfLog }))
  const { log } = life
  const acknowledged = new Set<AckLevel>()
  // `object` is what the engine waits for after these: it is not the log's to say.
  const levels: AckLevel[] = policyOfLog.wal ? ['memory', 'disk'] : ['memory']
  for (const ack of levels) {
    void log
      .append(log.partition(0), { kind: 'rows', rows: [{ ack }] }, ack, 1_000)
      .then(() => acknowledged.add(ack))
  }
  const look = async (): Promise<Seen> => {
    for (let turn = 0; turn < 8; turn++) await Promise.resolve()
    const rows = await life.rows()
    expect([0, levels.length]).toContain(rows.length)
    return { isRead: rows.length > 0, acknowledged: levels.filter((ack) => acknowledged.has(ack)) }
  }
  const applied = await look()
  life.runAlone()
  const synced = await look()
  const target = policyOfLog.archiveAfter === null ? 'disk' : 'object'
  await life.scheduler.now([log], target)
  return { applied, synced, archived: await look() }
}

describe('a log', () => {
  test.each(LOGS)(
    'of mode %s is read from its stage on, and not before',
    async (_, given, from) => {
      const seen = await observe(given)
      for (const stage of STAGES)
        expect(seen[stage].isRead, stage).toBe(STAGES.indexOf(stage) >= STAGES.indexOf(from))
    },
  )

  test.each(LOGS)('of mode %s acknowledges each append at its own level', async (_, given) => {
    const seen = await observe(given)
    expect(seen.applied.acknowledged).toEqual(['memory'])
    expect(seen.synced.acknowledged).toEqual(given.wal ? ['memory', 'disk'] : ['memory'])
  })
})

test('what was not read yet is read again from its stage on after a crash', async () => {
  for (const [name, given, from] of LOGS) {
    if (!given.wal) continue
    const machine = new Machine(seededRandom(3))
    const definition = logDefinition(1, { timeColumn: null, policy: given })
    const first = await openLife(machine, definition)
    first.runAlone()
    await first.log.append(
      first.log.partition(0),
      { kind: 'rows', rows: [{ n: 1 }] },
      'disk',
      1_000,
    )
    machine.crash()
    const second = await openLife(machine, definition)
    second.runAlone()
    expect(await second.rows(), name).toHaveLength(from === 'archived' ? 0 : 1)
    await second.scheduler.now([second.log], given.archiveAfter === null ? 'disk' : 'object')
    expect(await second.rows(), name).toHaveLength(1)
  }
})
