/** Directories that are not what they should be: each is refused by name, with what to do, and left as it was. */
import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { crc32c, sha256Hex } from '../../src/format/checksum.ts'
import { Stratalog } from '../../src/index.ts'
import type { StratalogError } from '../../src/index.ts'
import { cliEntry } from '../support/cli.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

/** A sound directory with a segment, and records in the WAL. */
let original = ''

beforeAll(async () => {
  original = mkdtempSync(join(tmpdir(), 'stratalog-test-'))
  await fill(original)
})
afterAll(() => rmSync(original, { recursive: true, force: true }))

async function fill(dataDir: string): Promise<void> {
  const db = await Stratalog.open({ dataDir })
  const log = await db.createLog('orders')
  await log.append([{ id: 0 }, { id: 1 }])
  await db.tier.now({ to: 'disk' })
  await log.append({ id: 2 })
  await db.close()
}

async function copied(): Promise<string> {
  const dataDir = `${await temporaryDirectory()}/data`
  cpSync(original, dataDir, { recursive: true })
  return dataDir
}

/** Every file with a hash of its bytes, but for the lock, which whoever opens writes. */
/** But the lock, and the copies of damaged files. */
function contents(directory: string): Readonly<Record<string, string>> {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== 'lock')
    .filter(({ parentPath }) => !parentPath.endsWith('/quarantine'))
    .map((entry) => join(entry.parentPath, entry.name))
  return Object.fromEntries(files.map((path) => [path, sha256Hex(readFileSync(path)).slice(0, 8)]))
}

async function refused(
  dataDir: string,
  code: StratalogError['code'],
  advice: RegExp,
): Promise<void> {
  const before = contents(dataDir)
  const error = await expectError(Stratalog.open({ dataDir }), code)
  expect(error.message).toMatch(advice)
  await expectError(Stratalog.openReadOnly({ dataDir }), code)
  expect(contents(dataDir)).toEqual(before)
}

function only(directory: string, end: string): string {
  const names = readdirSync(directory, { recursive: true }).map(String)
  return join(directory, names.toSorted().find((name) => name.endsWith(end)) ?? 'nothing')
}

test('a directory that is not ours is refused, and so is a file', async () => {
  const root = await temporaryDirectory()
  mkdirSync(`${root}/photos`)
  writeFileSync(`${root}/photos/cat.jpg`, 'meow')
  await refused(`${root}/photos`, 'directory_foreign', /cat\.jpg.*Name an empty or a new directory/)
  await expectError(Stratalog.open({ dataDir: `${root}/photos/cat.jpg` }), 'directory_foreign')
  mkdirSync(`${root}/archive`)
  writeFileSync(
    `${root}/archive/stratalog.json`,
    '{"stratalog":"archive","formatVersion":1,"engineId":"a"}\n',
  )
  await refused(`${root}/archive`, 'directory_foreign', /it is an archive; open it with its file/)
})

test('a newer format version of any file is refused as such', async () => {
  const identity = await copied()
  const text = readFileSync(`${identity}/stratalog.json`, 'utf8')
  writeFileSync(
    `${identity}/stratalog.json`,
    text.replace('"formatVersion":1', '"formatVersion":2'),
  )
  await refused(identity, 'format_unsupported', /format version 2; this program knows 1/)

  const manifest = await copied()
  const commit = only(`${manifest}/manifest`, '.edit')
  const lines = readFileSync(commit, 'utf8')
  writeFileSync(commit, lines.replace('"formatVersion":1', '"formatVersion":2'))
  await refused(manifest, 'format_unsupported', /manifest format 2; this program knows 1/)

  const wal = await copied()
  const file = only(`${wal}/wal`, '.wal')
  const bytes = readFileSync(file)
  bytes.writeUInt32LE(2, 12)
  bytes.writeUInt32LE(crc32c(bytes.subarray(12, 64)), 8)
  writeFileSync(file, bytes)
  await refused(wal, 'format_unsupported', /WAL format 2; this program knows 1/)
})

test('a directory that was half copied is refused, whatever is missing', async () => {
  const unnamed = await copied()
  rmSync(`${unnamed}/stratalog.json`)
  await refused(unnamed, 'directory_foreign', /copy it whole/)
  for (const [folder, advice] of [
    ['manifest', /lost the end of its manifest.*bring the file back/],
    ['wal', /WAL files are missing/],
  ] as const) {
    const dataDir = await copied()
    rmSync(`${dataDir}/${folder}`, { recursive: true })
    mkdirSync(`${dataDir}/${folder}`)
    await refused(dataDir, folder === 'wal' ? 'wal_corrupt' : 'manifest_corrupt', advice)
  }
  const cut = await copied()
  const wal = only(`${cut}/wal`, '.wal')
  const bytes = readFileSync(wal)
  // As a copy leaves it that ended early: whole frames, and not all of them.
  const seal = bytes.lastIndexOf('WALF')
  const last = bytes.lastIndexOf('WALF', seal - 1)
  writeFileSync(wal, bytes.subarray(0, last))
  await refused(cut, 'wal_corrupt', /has lost its end/)

  const holey = await copied()
  rmSync(only(`${holey}/segments`, '.arrow'))
  await using db = await Stratalog.open({ dataDir: holey })
  const error = await expectError(db.log('orders').read().toArray(), 'file_not_found')
  expect(error.message).toMatch(/offsets \[0, 2\)/)
  expect(await db.log('orders').get(2)).toMatchObject({ id: 2 })
})

test('an unfinished restore says that it is one', async () => {
  const root = await temporaryDirectory()
  mkdirSync(`${root}/data/tmp`, { recursive: true })
  writeFileSync(`${root}/data/restoring.json`, '{}')
  await refused(`${root}/data`, 'directory_foreign', /run the same restore again/)
})

test('files of two directories in one are refused', async () => {
  const other = `${await temporaryDirectory()}/other`
  await fill(other)
  const dataDir = await copied()
  cpSync(`${other}/stratalog.json`, `${dataDir}/stratalog.json`)
  await refused(dataDir, 'file_corrupt', /files of two directories lie in one/)
  const mixed = await copied()
  cpSync(only(`${other}/wal`, '.wal'), only(`${mixed}/wal`, '.wal'))
  await refused(mixed, 'wal_corrupt', /belongs to another engine/)
})

test('a foreign file inside is left alone, wherever it lies', async () => {
  const dataDir = await copied()
  const places = ['notes.txt', 'segments/notes.txt', 'segments/1/0/notes.txt', 'wal/notes.txt']
  for (const place of places) writeFileSync(`${dataDir}/${place}`, 'mine')
  await using db = await Stratalog.open({ dataDir })
  expect(await db.log('orders').read().toArray()).toHaveLength(3)
  await db.tier.now({ to: 'disk' })
  for (const place of places) expect(readFileSync(`${dataDir}/${place}`, 'utf8')).toBe('mine')
})

test('a directory that may not be written is refused for writing and can be read', async () => {
  const dataDir = await copied()
  // Root may write anywhere, unless that right is taken away.
  const isRoot = process.getuid?.() === 0
  const withoutRights = ['setpriv', '--bounding-set=-dac_override,-dac_read_search']
  const run = (...args: string[]): { status: number | null; stdout: string; stderr: string } => {
    const command = [process.execPath, cliEntry, ...args, '--data-dir', dataDir, '--json']
    const [program = '', ...rest] = isRoot ? [...withoutRights, ...command] : command
    return spawnSync(program, rest, { input: '{"id":3}\n', encoding: 'utf8' })
  }
  const all = [
    dataDir,
    ...readdirSync(dataDir, { recursive: true }).map((name) => join(dataDir, String(name))),
  ]
  for (const path of all) {
    chmodSync(path, statSync(path).isDirectory() ? 0o500 : 0o400)
  }
  const before = contents(dataDir)
  try {
    const written = run('append', '--log', 'orders')
    expect(written.status).toBe(7)
    expect(JSON.parse(written.stderr)).toMatchObject({ error: { code: 'file_system_failed' } })
    expect(written.stderr).toMatch(/lock/)
    const read = run('read', '--log', 'orders')
    expect(read.status).toBe(0)
    expect(read.stdout.trim().split('\n')).toHaveLength(3)
    expect(contents(dataDir)).toEqual(before)
  } finally {
    for (const path of all) chmodSync(path, 0o700)
  }
})

test('a file system without locks is written under a lease, which keeps a second writer out', async () => {
  const dataDir = await copied()
  const programs = await temporaryDirectory()
  // What flock says where the file system has no locks.
  writeFileSync(
    `${programs}/flock`,
    '#!/bin/sh\necho "flock: 3: No locks available" >&2\nexit 71\n',
  )
  chmodSync(`${programs}/flock`, 0o755)
  const path = process.env['PATH']
  process.env['PATH'] = `${programs}:${path}`
  try {
    execFileSync('sh', ['-c', 'flock -n -x 3; test $? = 71'])
    await using db = await Stratalog.open({ dataDir, logLevel: 'silent' })
    expect(await db.log('orders').read().toArray()).toHaveLength(3)
    await expectError(Stratalog.open({ dataDir, logLevel: 'silent' }), 'directory_in_use')
  } finally {
    process.env['PATH'] = path
  }
})
