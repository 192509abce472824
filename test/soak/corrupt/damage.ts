/**
 * One damage: what is done to which file, decided by a seed alone. It is made of what the place holds, so equal
 * fixtures give equal damages.
 */
import {
  copyFileSync,
  cpSync,
  existsSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { type Random, randomFraction, seededRandom } from '../../../src/base/random.ts'

/** The places that are damaged; what they are is in fixture.ts. */
export const BASE_NAMES = ['closed', 'crashed', 'long'] as const
export type BaseName = (typeof BASE_NAMES)[number]

export const FILE_KINDS = [
  'identity',
  'manifest-edit',
  'manifest-base',
  'manifest-page',
  'wal',
  'segment',
  'pack',
  'lock',
  'cache',
  'cache-part',
  'archive-identity',
  'archive-edit',
  'archive-base',
  'archive-page',
  'object',
  'archive-pack',
] as const
export type FileKind = (typeof FILE_KINDS)[number]

export const OPERATIONS = [
  'bits',
  'payload',
  'truncate',
  'extend',
  'zero',
  'garbage',
  'swap',
  'stale',
  'other',
  'missing',
  'lost-tail',
  'lost-folder',
  'stale-folder',
] as const
export type Operation = (typeof OPERATIONS)[number]

export interface Damage {
  readonly seed: number
  readonly base: BaseName
  readonly kind: FileKind
  readonly operation: Operation
  /** What was changed, below the place; for people and for putting it back. */
  readonly files: readonly string[]
  /** The bytes of the one file that differ from what they were: `[from, to)`; null for anything else. */
  readonly range: readonly [number, number] | null
  readonly text: string
}

const KIND_OF: readonly (readonly [RegExp, FileKind])[] = [
  [/^data\/stratalog\.json$/, 'identity'],
  [/^data\/manifest\/\d+\.edit$/, 'manifest-edit'],
  [/^data\/manifest\/\d+\.base$/, 'manifest-base'],
  [/^data\/pages\//, 'manifest-page'],
  [/^data\/wal\/\d+\.wal$/, 'wal'],
  [/^data\/segments\//, 'segment'],
  [/^data\/packs\//, 'pack'],
  [/^data\/lock$/, 'lock'],
  [/^data\/cache\//, 'cache'],
  [/^data\/cache-parts\//, 'cache-part'],
  [/^archive\/stratalog\.json$/, 'archive-identity'],
  [/^archive\/manifest\/\d+\.edit$/, 'archive-edit'],
  [/^archive\/manifest\/\d+\.base$/, 'archive-base'],
  [/^archive\/pages\//, 'archive-page'],
  [/^archive\/segments\//, 'object'],
  [/^archive\/packs\//, 'archive-pack'],
]

/** Kinds whose files follow one another. */
const WITH_ORDER: readonly FileKind[] = [
  'manifest-edit',
  'archive-edit',
  'wal',
  'segment',
  'object',
]

/** How much of the sweep each kind gets; kinds with much in them more. */
const WEIGHTS: Readonly<Record<FileKind, number>> = {
  identity: 1,
  'manifest-edit': 4,
  'manifest-base': 6,
  'manifest-page': 4,
  wal: 5,
  segment: 4,
  pack: 3,
  lock: 1,
  cache: 1,
  'cache-part': 1,
  'archive-identity': 1,
  'archive-edit': 4,
  'archive-base': 1,
  'archive-page': 1,
  object: 3,
  'archive-pack': 5,
}

/** Files below a place, in byte order. */
export function filesOf(place: string): readonly string[] {
  return readdirSync(place, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath.slice(place.length + 1)}/${entry.name}`)
    .toSorted()
}

export function kindOf(file: string): FileKind | null {
  return KIND_OF.find(([pattern]) => pattern.test(file))?.[1] ?? null
}

/** Which base a seed damages. */
export function baseOf(seed: number): BaseName {
  const part = seededRandom(seed * 31 + 7).uint32() % 20
  return part < 9 ? 'closed' : part < 17 ? 'crashed' : 'long'
}

/** The place that `applyDamage` works on, and where it finds what else lies there. */
export interface DamagePlace {
  /** A copy of `<base>/now`, which is changed. */
  readonly place: string
  readonly early: string
  readonly other: string
}

/** Damages the place as the seed says. */
export function applyDamage(seed: number, paths: DamagePlace): Damage {
  const random = seededRandom(seed)
  const base = baseOf(seed)
  const byKind = Map.groupBy(filesOf(paths.place), kindOf)
  const kind = weighted(
    random,
    FILE_KINDS.filter((candidate) => byKind.has(candidate)),
  )
  const candidates = byKind.get(kind) ?? []
  const file = candidates[pick(random, candidates.length)] ?? ''
  for (;;) {
    // What one log's frame costs the others is only seen where its payload alone is hit.
    const isPayload = kind === 'wal' && pick(random, 4) === 0
    const any = OPERATIONS[pick(random, OPERATIONS.length)] ?? 'bits'
    const operation = isPayload ? 'payload' : any
    const work = { random, paths, kind, file, candidates }
    const done = WORKS[operation](work)
    if (done === null) continue
    const { files, range = null, detail } = done
    const text = `${base}: ${operation} ${kind} ${file}: ${detail}`
    return { seed, base, kind, operation, files, range, text }
  }
}

interface Work {
  readonly random: Random
  readonly paths: DamagePlace
  readonly kind: FileKind
  readonly file: string
  /** All files of the kind. */
  readonly candidates: readonly string[]
}

interface Done {
  readonly files: readonly string[]
  readonly range?: readonly [number, number]
  readonly detail: string
}

/** Null: there is nothing of that sort to do to this file, so another operation is tried. */
const WORKS: Readonly<Record<Operation, (work: Work) => Done | null>> = {
  bits: (work) =>
    changed(work, (bytes) => {
      const count = 1 + pick(work.random, 3)
      const at: number[] = []
      for (let n = 0; n < count; n++) {
        const position = likely(work, bytes)
        bytes[position] = (bytes[position] ?? 0) ^ (1 << pick(work.random, 8))
        at.push(position)
      }
      return bytes
    }),
  payload: (work) => {
    if (work.kind !== 'wal') return null
    return changed(work, (bytes) => {
      const frames: number[] = []
      for (let at = bytes.indexOf('WALF', 64); at >= 0; at = bytes.indexOf('WALF', at + 8))
        if (at % 8 === 0 && bytes.readUInt32LE(at + 12) > 0) frames.push(at)
      const frame = frames[pick(work.random, frames.length)]
      if (frame === undefined) return bytes
      const position = frame + 80 + pick(work.random, bytes.readUInt32LE(frame + 12))
      if (position < bytes.length)
        bytes[position] = (bytes[position] ?? 0) ^ (1 << pick(work.random, 8))
      return bytes
    })
  },
  truncate: (work) =>
    changed(work, (bytes) => {
      const length = likely(work, bytes)
      return bytes.subarray(0, pick(work.random, 4) === 0 ? length - (length % 512) : length)
    }),
  extend: (work) =>
    changed(work, (bytes) => {
      const more = Buffer.alloc(1 + pick(work.random, 2_000))
      if (pick(work.random, 2) === 0) fillRandom(work.random, more)
      return Buffer.concat([bytes, more])
    }),
  zero: (work) =>
    changed(work, (bytes) => {
      const sector = pick(work.random, 2) === 0 ? 512 : 4096
      const at = likely(work, bytes)
      return bytes.fill(0, at - (at % sector), Math.min(bytes.length, at - (at % sector) + sector))
    }),
  garbage: (work) =>
    changed(work, (bytes) => {
      const at = likely(work, bytes)
      fillRandom(work.random, bytes.subarray(at, at + 1 + pick(work.random, 64)))
      return bytes
    }),
  swap: ({ random, paths, file, candidates }) => {
    const partner = candidates[pick(random, candidates.length)] ?? file
    const [one, two] = [`${paths.place}/${file}`, `${paths.place}/${partner}`]
    const [a, b] = [readFileSync(one), readFileSync(two)]
    if (a.equals(b)) return null
    writeFileSync(one, b)
    writeFileSync(two, a)
    return { files: [file, partner], detail: `with ${partner}` }
  },
  stale: (work) => replaced(work, work.paths.early),
  other: (work) => {
    const like = filesOf(work.paths.other).filter((name) => kindOf(name) === work.kind)
    const chosen = like.includes(work.file) ? work.file : like[pick(work.random, like.length)]
    return chosen === undefined ? null : replaced(work, work.paths.other, chosen)
  },
  missing: ({ paths, file }) => {
    rmSync(`${paths.place}/${file}`)
    return { files: [file], detail: 'removed' }
  },
  'lost-tail': ({ random, paths, kind, candidates }) => {
    if (!WITH_ORDER.includes(kind)) return null
    const count = 1 + pick(random, Math.min(4, candidates.length))
    const files = candidates.slice(-count)
    for (const name of files) rmSync(`${paths.place}/${name}`)
    return { files, detail: `the last ${count} removed` }
  },
  'lost-folder': ({ paths, file }) => {
    const folder = folderOf(file)
    if (folder === null) return null
    rmSync(`${paths.place}/${folder}`, { recursive: true })
    return { files: [folder], detail: `${folder} removed` }
  },
  'stale-folder': ({ paths, file }) => {
    const folder = folderOf(file)
    if (folder === null || !existsSync(`${paths.early}/${folder}`)) return null
    rmSync(`${paths.place}/${folder}`, { recursive: true })
    cpSync(`${paths.early}/${folder}`, `${paths.place}/${folder}`, { recursive: true })
    return { files: [folder], detail: `${folder} as it was earlier` }
  },
}

function folderOf(file: string): string | null {
  const parts = file.split('/')
  return parts.length < 3 ? null : parts.slice(0, 2).join('/')
}

/** Changes the bytes of the file; null when that changes nothing. */
function changed({ paths, file }: Work, change: (bytes: Buffer) => Uint8Array): Done | null {
  const path = `${paths.place}/${file}`
  const before = readFileSync(path)
  if (before.length === 0) return null
  const after = Buffer.from(change(Buffer.from(before)))
  if (before.equals(after)) return null
  writeFileSync(path, after)
  const range = differing(before, after)
  return { files: [file], range, detail: `bytes ${range.join(' to ')} of ${before.length}` }
}

/** The least range of bytes outside of which two files are alike. */
function differing(before: Uint8Array, after: Uint8Array): readonly [number, number] {
  let from = 0
  while (from < Math.min(before.length, after.length) && before[from] === after[from]) from++
  let to = Math.max(before.length, after.length)
  if (before.length === after.length) while (to > from && before[to - 1] === after[to - 1]) to--
  return [from, to]
}

function replaced({ paths, file }: Work, source: string, name = file): Done | null {
  const [from, to] = [`${source}/${name}`, `${paths.place}/${file}`]
  if (!existsSync(from)) return null
  if (readFileSync(from).equals(readFileSync(to))) return null
  const [before, after] = [readFileSync(to), readFileSync(from)]
  copyFileSync(from, to)
  const range = differing(before, after)
  return {
    files: [file],
    range,
    detail: `is ${name} of ${source.slice(source.lastIndexOf('/') + 1)}`,
  }
}

/**
 * A position where there is something: most of a WAL file is zeros that nobody has written yet, and damage there is
 * tried too, but not most of the time.
 */
function likely({ random }: Work, bytes: Uint8Array): number {
  let used = bytes.length
  while (used > 1 && bytes[used - 1] === 0) used--
  return pick(random, pick(random, 12) === 0 ? bytes.length : Math.min(bytes.length, used + 8))
}

function fillRandom(random: Random, bytes: Uint8Array): void {
  for (let n = 0; n < bytes.length; n++) bytes[n] = pick(random, 256)
}

function weighted(random: Random, kinds: readonly FileKind[]): FileKind {
  const sum = kinds.reduce((total, kind) => total + WEIGHTS[kind], 0)
  let left = pick(random, sum)
  return kinds.find((kind) => (left -= WEIGHTS[kind]) < 0) ?? 'segment'
}

function pick(random: Random, count: number): number {
  return Math.floor(randomFraction(random) * count)
}
