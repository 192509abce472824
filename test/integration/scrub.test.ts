/** Copies that are damaged on a real disk: found, said, and made again from the other one. */
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Stratalog, scrubFiles } from '../../src/index.ts'
import { CliPlace } from '../support/cli-place.ts'
import { runCli, runJson } from '../support/cli.ts'
import { expectError } from '../support/expect-error.ts'

const place = new CliPlace()
beforeAll(() => place.fill())
afterAll(() => place.remove())

const FIELDS = ['where', 'position', 'kind', 'log', 'partition', 'from', 'to', 'readable']

interface Report {
  readonly verdict: string
  readonly files: number
  readonly bytes: number
  readonly problems: Readonly<Record<string, unknown>>[]
  readonly repaired: Readonly<Record<string, unknown>>[]
}

/** The one segment's file and object. */
function copies(): { readonly file: string; readonly object: string } {
  const below = (root: string): string => {
    const directory = join(root, 'segments/1/0')
    return join(directory, readdirSync(directory)[0] ?? '')
  }
  return { file: below(place.dataDir), object: below(join(place.root, 'archive')) }
}

function flipped(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes)
  copy[2_000] = (copy[2_000] ?? 0) ^ 4
  return copy
}

async function scrub(
  ...flags: readonly string[]
): Promise<{ status: number | null; report: Report }> {
  const { status, stdout } = await runCli(['scrub', ...flags, '--json'])
  return { status, report: JSON.parse(stdout) as Report }
}

test('scrub says what is damaged and missing, and with --repair makes it again', async () => {
  const { file, object } = copies()
  const sound = readFileSync(file)
  expect(await scrub(...place.where)).toMatchObject({
    status: 0,
    report: { verdict: 'PASS', problems: [], repaired: [] },
  })

  writeFileSync(file, flipped(sound))
  const found = await scrub(...place.where)
  expect(found).toMatchObject({ status: 8, report: { verdict: 'FAIL' } })
  expect(found.report.problems).toMatchObject([
    {
      where: file,
      kind: 'checksum',
      log: 'events',
      partition: 0,
      from: 0,
      to: 1_000,
      readable: true,
    },
  ])
  expect(Object.keys(found.report.problems[0] ?? {})).toEqual(expect.arrayContaining(FIELDS))
  expect(readFileSync(file)).toEqual(flipped(sound))
  expect((await scrub('--data-dir', place.dataDir)).report.problems).toMatchObject([
    { where: file, readable: null },
  ])
  expect((await scrub('--archive', place.archive)).status).toBe(0)

  const repaired = await scrub(...place.where, '--repair')
  expect(repaired).toMatchObject({
    status: 0,
    report: { verdict: 'PASS', problems: [], repaired: [{ where: file, kind: 'checksum' }] },
  })
  expect(readFileSync(file)).toEqual(sound)
  expect(readdirSync(join(place.dataDir, 'quarantine'))).toHaveLength(1)

  rmSync(object)
  const gone = await runCli(['scrub', '--archive', place.archive])
  expect(gone.status).toBe(8)
  expect(gone.stdout).toContain('missing')
  const again = await runCli(['scrub', ...place.where, '--repair'])
  expect(again.status).toBe(0)
  expect(again.stderr).toContain('repaired')
  expect(readFileSync(object)).toEqual(sound)
})

test('a copy that no other is sound of stays reported, and all else is repaired and read', async () => {
  const { file, object } = copies()
  const sound = readFileSync(file)
  writeFileSync(file, flipped(sound))
  writeFileSync(object, sound.subarray(0, 1_000))
  try {
    const left = await scrub(...place.where, '--repair')
    expect(left.status).toBe(8)
    expect(left.report.problems).toMatchObject([
      { where: file, kind: 'checksum', readable: false },
      { kind: 'truncated', position: 1_000, readable: false },
    ])
    const db = await Stratalog.open({ dataDir: place.dataDir, archive: place.archive })
    await db.tier.scrub()
    expect(db.status().logs[0]?.partitions[0]?.damage).toMatchObject([
      { tier: 'disk', from: 0, to: 1_000 },
      { tier: 'object', from: 0, to: 1_000 },
    ])
    expect(db.status().scrub).toMatchObject({ damagedCopies: 2, repairedCopies: 0 })
    await db.close()
  } finally {
    writeFileSync(file, sound)
    writeFileSync(object, sound)
  }
})

test('is refused where there is nothing to scrub, or somebody else writes', async () => {
  expect((await runCli(['scrub'])).status).toBe(2)
  expect((await runCli(['scrub', '--archive', place.archive, '--repair'])).status).toBe(2)
  expect((await runCli(['scrub', '--data-dir', join(place.root, 'nothing')])).status).toBe(3)
  const inRam = await Stratalog.memoryOnly()
  await expectError(inRam.tier.scrub(), 'argument_invalid')
  await inRam.close()
  const db = await Stratalog.open({ dataDir: place.dataDir, archive: place.archive })
  try {
    await expectError(db.tier.scrub({ logs: ['nothing'] }), 'log_not_found')
    expect((await runCli(['scrub', ...place.where, '--repair'])).status).toBe(4)
    // Looking needs no lock.
    expect(await scrubFiles({ dataDir: place.dataDir, archive: place.archive })).toMatchObject({
      verdict: 'PASS',
    })
    const reader = await Stratalog.openReadOnly({ dataDir: place.dataDir })
    await expectError(reader.tier.scrub(), 'argument_invalid')
    expect(reader.status().scrub).toBeNull()
    await reader.close()
  } finally {
    await db.close()
  }
})

test('status says how the copies are looked at', async () => {
  const status = await runJson<{ scrub: unknown }>(['status', ...place.where])
  expect(status.scrub).toBeNull()
  await using db = await Stratalog.open({ dataDir: place.dataDir, scrubInterval: '1d' })
  expect(db.status().scrub).toEqual({
    intervalMs: 86_400_000,
    bytesPerSecond: 8 * 1024 * 1024,
    checkedCopies: 0,
    checkedBytes: 0,
    repairedCopies: 0,
    damagedCopies: 0,
    lastError: null,
  })
})
