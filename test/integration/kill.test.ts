/**
 * A real process is killed at random moments, again and again on the same directory, while an oracle in this process
 * keeps what it said: acknowledged records are there and equal, and nothing is there that was not submitted.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import process from 'node:process'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { Stratalog } from '../../src/index.ts'
import { seededRandom } from '../../src/base/random.ts'
import { killRecord } from '../support/kill-record.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const CHILD = fileURLToPath(new URL('../support/kill-child.ts', import.meta.url))
const KILLS = process.env['CI'] === 'true' ? 100 : 50
/** Lives between two checks of everything. */
const LIVES_PER_CHECK = 5

/** What the oracle knows of one partition. */
interface Told {
  /** By offset: every life that submitted a record there. */
  readonly submitted: Map<number, Set<number>>
  /** By offset: the life whose record was acknowledged. */
  readonly acknowledged: Map<number, number>
}

class Oracle {
  readonly partitions = new Map<string, Told>()
  acknowledgements = 0

  hear(line: string, life: number): void {
    const [kind, key = '', fromText, countText] = line.split(' ')
    if (kind !== 'intent' && kind !== 'ack') return
    const told = this.#partition(key)
    const from = Number(fromText)
    for (let offset = from; offset < from + Number(countText); offset++) {
      if (kind === 'ack') told.acknowledged.set(offset, life)
      else told.submitted.set(offset, (told.submitted.get(offset) ?? new Set()).add(life))
    }
    if (kind === 'ack') this.acknowledgements++
  }

  #partition(key: string): Told {
    const known = this.partitions.get(key)
    if (known !== undefined) return known
    const told: Told = { submitted: new Map(), acknowledged: new Map() }
    this.partitions.set(key, told)
    return told
  }
}

async function live(dataDir: string, archive: string, life: number, oracle: Oracle, killAfterMs: number): Promise<void> {
  const child: ChildProcess = spawn(process.execPath, [CHILD, dataDir, archive, String(life)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stderr = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  const ended = new Promise<NodeJS.Signals | null>((resolve) => child.once('exit', (_code, signal) => resolve(signal)))
  const lines = createInterface({ input: child.stdout ?? process.stdin })
  const opened = Promise.withResolvers<void>()
  lines.on('line', (line) => {
    if (line === 'open') opened.resolve()
    oracle.hear(line, life)
  })
  const drained = new Promise<void>((resolve) => lines.once('close', () => resolve()))
  // Every fourth life is killed while it starts, which is while it recovers.
  if (life % 4 !== 3) await Promise.race([opened.promise, ended])
  await delay(killAfterMs)
  child.kill('SIGKILL')
  const signal = await ended
  await drained
  expect(signal, `life ${life} ended by itself: ${stderr}`).toBe('SIGKILL')
}

async function check(dataDir: string, archive: string, oracle: Oracle): Promise<number> {
  await using db = await Stratalog.open({ dataDir, archive })
  let checked = 0
  for (const [key, told] of oracle.partitions) {
    const [name = '', partitionText] = key.split('/')
    const seen = new Map<number, Record<string, unknown>>()
    let expected = 0
    for await (const row of db.log(name).read({ partition: Number(partitionText) }).rows()) {
      const { _offset, _partition, _time, ...record } = row
      expect(_offset, `${key} is a gap-free prefix`).toBe(expected)
      expected++
      seen.set(Number(_offset), record)
    }
    for (const [offset, life] of told.acknowledged) {
      expect(seen.get(offset), `${key} offset ${offset} was acknowledged by life ${life}`).toEqual(killRecord(key, offset, life))
    }
    for (const [offset, record] of seen) {
      const life = Number(record['life'])
      expect(told.submitted.get(offset)?.has(life), `${key} offset ${offset} was submitted by life ${life}`).toBe(true)
      expect(record).toEqual(killRecord(key, offset, life))
      // From here on this very record is there to stay.
      told.acknowledged.set(offset, life)
      checked++
    }
  }
  return checked
}

test(`${KILLS} kills at random moments lose no acknowledged record and invent none`, { timeout: 300_000 }, async () => {
  const root = await temporaryDirectory()
  const [dataDir, archive] = [`${root}/data`, `file://${root}/archive`]
  const random = seededRandom(20_260)
  const oracle = new Oracle()
  let checked = 0
  for (let life = 0; life < KILLS; life++) {
    await live(dataDir, archive, life, oracle, random.uint32() % 220)
    if (life % LIVES_PER_CHECK === LIVES_PER_CHECK - 1) checked = await check(dataDir, archive, oracle)
  }
  expect(oracle.acknowledgements).toBeGreaterThan(KILLS)
  expect(checked).toBeGreaterThan(1_000)
})
