/** What a port call is part of, told by what it touches, and how often each was crashed in or failed. */
import { parsePath } from '../../src/format/paths.ts'
import { isTemporaryName } from '../../src/storage/temporary-name.ts'

export const STEPS = [
  'recovery',
  'closing',
  'restore',
  'append',
  'wal roll',
  'wal release',
  'flush',
  'upload',
  'evict',
  'compact',
  'collect',
  'checkpoint',
  'manifest commit',
  'manifest base',
  'archive commit',
  'create log',
  'delete log',
  'snapshot',
  'cold read',
] as const

export type Step = (typeof STEPS)[number]

/** What the process is doing as a whole. */
export type Phase = 'opening' | 'running' | 'closing' | 'restoring'

export type Operation =
  | 'open'
  | 'create'
  | 'read'
  | 'write'
  | 'sync'
  | 'link'
  | 'rename'
  | 'remove'
  | 'make directory'
  | 'sync directory'
  | 'list'
  | 'stat'
  | 'lock'
  | 'put'
  | 'get'
  | 'head'
  | 'remove object'
  | 'list objects'
  | 'probe'

export interface PortCall {
  /** `wal` is the synchronous port of the WAL's writer. */
  readonly port: 'file' | 'wal' | 'store'
  readonly operation: Operation
  /** Below the data directory, or a key of the archive. */
  readonly path: string
  readonly length: number
  /** Whether it takes room that a full disk does not have. */
  readonly grows: boolean
  /** What a whole manifest file says, where the call is part of making it. */
  readonly edits: readonly string[]
}

const WITHIN: readonly Operation[] = ['write', 'sync', 'create', 'rename', 'sync directory']

const CHANGES: readonly Operation[] = [
  'create',
  'write',
  'link',
  'rename',
  'remove',
  'make directory',
  'put',
  'remove object',
]

export function isChange({ operation }: PortCall): boolean {
  return CHANGES.includes(operation)
}

export function stepsOf(call: PortCall, phase: Phase): readonly Step[] {
  const steps: Step[] = []
  if (phase === 'opening') steps.push('recovery')
  if (phase === 'closing') steps.push('closing')
  if (phase === 'restoring') return ['restore']
  if (call.port === 'wal') steps.push(...walSteps(call, phase))
  else if (call.path.startsWith('manifest/') || call.path.startsWith('pages/'))
    steps.push(...manifestSteps(call))
  else steps.push(...dataSteps(call))
  return steps
}

function walSteps({ operation, path }: PortCall, phase: Phase): readonly Step[] {
  // The thread appends to a file under its final name, and makes the next one under a temporary name.
  if (phase === 'opening') return []
  if (operation === 'remove') return ['wal release']
  if (isTemporaryName(path)) return ['wal roll']
  if (operation === 'rename') return ['wal release']
  if (operation === 'write' || operation === 'sync') return ['append']
  return operation === 'sync directory' || operation === 'open' ? ['wal roll'] : []
}

function manifestSteps({ port, operation, path, edits }: PortCall): readonly Step[] {
  if (operation !== 'put' && operation !== 'link' && !WITHIN.includes(operation)) return []
  if (path.includes('.base') || path.includes('.page')) return ['manifest base']
  const steps: Step[] = [port === 'store' ? 'archive commit' : 'manifest commit']
  if (edits.includes('checkpoint')) steps.push('checkpoint')
  if (edits.includes('log-created')) steps.push('create log')
  if (edits.includes('log-deleted')) steps.push('delete log')
  if (edits.includes('snapshot-created')) steps.push('snapshot')
  if (edits.includes('segment-copied')) steps.push('upload')
  if (edits.includes('segment-copy-dropped')) steps.push('evict')
  if (edits.includes('segments-replaced')) steps.push('compact')
  if (edits.includes('segments-collected')) steps.push('collect')
  if (edits.includes('segment-added')) steps.push(port === 'store' ? 'upload' : 'flush')
  return steps
}

function dataSteps({ port, operation, path }: PortCall): readonly Step[] {
  if (port === 'store') {
    if (!path.startsWith('segments/') && !path.startsWith('packs/')) return []
    if (operation === 'remove object') return ['collect']
    return operation === 'get' ? ['cold read'] : ['upload']
  }
  if (path.startsWith('tmp/')) return operation === 'list' ? [] : ['flush']
  if (!path.startsWith('segments') && !path.startsWith('packs')) return []
  if (operation === 'remove') return ['evict']
  if (operation === 'open' || operation === 'read') return ['cold read']
  return operation === 'make directory' || operation === 'sync directory' ? ['flush'] : []
}

/** The kinds of edit in a manifest file that is about to be written; none when it is no commit. */
export function editsOf(path: string, bytes: Uint8Array): readonly string[] {
  const parsed = parsePath(path)
  if (parsed?.kind !== 'manifest' || parsed.file.kind !== 'commit') return []
  const lines = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString().split('\n')
  // The envelope, the head, and an edit a line.
  return lines.slice(2, -1).map((line) => (JSON.parse(line) as { readonly kind: string }).kind)
}

export interface StepCounts {
  calls: number
  crashed: number
  failed: number
}

/** Counts of every step; a call counts for each of its steps. */
export class StepTally {
  readonly #counts = new Map<Step, StepCounts>(
    STEPS.map((step) => [step, { calls: 0, crashed: 0, failed: 0 }]),
  )

  count(steps: readonly Step[], what: keyof StepCounts, times = 1): void {
    for (const step of steps) {
      const counts = this.#counts.get(step)
      if (counts !== undefined) counts[what] += times
    }
  }

  add(other: Readonly<Record<string, StepCounts>>): void {
    for (const step of STEPS) {
      const more = other[step]
      if (more === undefined) continue
      for (const what of ['calls', 'crashed', 'failed'] as const)
        this.count([step], what, more[what])
    }
  }

  toJSON(): Readonly<Record<string, StepCounts>> {
    return Object.fromEntries(this.#counts)
  }
}
