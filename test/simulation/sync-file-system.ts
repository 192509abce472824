/** The synchronous port of one simulated process, over the same disk: what its WAL is written through. */
import type { SyncFile, SyncFileSystem } from '../../src/storage/file-system.ts'
import { type FileNode, parentOf } from './disk-image.ts'
import { errorOf } from './file-system.ts'
import { ProcessCrash, type SimulatedProcess } from './process.ts'
import type { Operation } from './steps.ts'
import type { World } from './world.ts'

interface Work<T> {
  readonly effect: () => T
  readonly length?: number
  readonly grows?: boolean
  readonly inPart?: (part: number) => void
}

export class SimulatedSyncFileSystem implements SyncFileSystem {
  readonly #world: World
  readonly #process: SimulatedProcess
  readonly #root: string
  /** Is told when a sync of a file of the WAL fails. */
  readonly #onFailedSync: () => void
  /** What open files are called by now. */
  readonly #paths = new Map<FileNode, string>()

  constructor(world: World, process: SimulatedProcess, root: string, onFailedSync: () => void) {
    this.#world = world
    this.#process = process
    this.#root = `${root}/`
    this.#onFailedSync = onFailedSync
  }

  open(path: string, how: 'create' | 'read' | 'write'): SyncFile {
    const { disk } = this.#process
    const isNew = how === 'create'
    const node = this.#io(isNew ? 'create' : 'open', path, {
      effect: () => (isNew ? disk.create(path) : disk.file(path)),
      grows: isNew,
    })
    this.#process.openFiles++
    this.#paths.set(node, path)
    return this.#file(node)
  }

  rename(from: string, to: string): void {
    const { disk } = this.#process
    const effect = (): void => {
      const node = disk.find(from)
      disk.rename(from, to)
      if (node?.kind === 'file') this.#paths.set(node, to)
    }
    this.#io('rename', from, { effect, inPart: (part) => part < 0.5 && effect() })
  }

  remove(path: string): void {
    this.#io('remove', path, { effect: () => this.#process.disk.remove(path) })
  }

  list(path: string): readonly string[] {
    return this.#io('list', path, { effect: () => this.#process.disk.directory(path).names })
  }

  makeDirectory(path: string): void {
    if (this.#process.disk.find(path) !== null) return
    const parent = parentOf(path)
    if (parent !== '') this.makeDirectory(parent)
    const effect = (): void => this.#process.disk.makeDirectory(path)
    this.#io('make directory', path, { effect, grows: true })
    this.syncDirectory(parent)
  }

  syncDirectory(path: string): void {
    this.#io('sync directory', path, {
      effect: () => this.#process.disk.directory(path).sync(),
    })
  }

  #file(node: FileNode): SyncFile {
    const nameNow = (): string => this.#paths.get(node) ?? ''
    const sync = (): void =>
      this.#io('sync', nameNow(), {
        effect: () => node.sync(),
        inPart: () => {
          node.failSync()
          if (this.#process.isAlive) this.#onFailedSync()
        },
      })
    return {
      length: () => node.length,
      write: (bytes, position) => this.#write(nameNow(), node, bytes, position),
      read: (into, position) =>
        this.#io('read', nameNow(), {
          length: into.length,
          effect: () => node.read(into, position),
        }),
      dataSync: sync,
      sync,
      close: () => {
        this.#process.openFiles--
      },
    }
  }

  #write(path: string, node: FileNode, bytes: Uint8Array, position: number): void {
    const grows = position + bytes.length > node.length
    this.#io('write', path, {
      length: bytes.length,
      grows,
      effect: () => node.write(bytes, position),
      inPart: (part) => node.write(bytes.subarray(0, Math.floor(part * bytes.length)), position),
    })
  }

  #io<T>(operation: Operation, path: string, work: Work<T>): T {
    const process = this.#process
    if (!process.isAlive) throw new ProcessCrash('the process is gone')
    const { death, fault, part, steps } = this.#world.judge(process, {
      port: 'wal',
      operation,
      path: path.startsWith(this.#root) ? path.slice(this.#root.length) : path,
      length: work.length ?? 0,
      grows: work.grows ?? false,
      edits: [],
    })
    if (death !== null) {
      if (death === 'within' && operation !== 'sync') work.inPart?.(part)
      if (death === 'after') work.effect()
      process.crash(steps)
      throw new ProcessCrash('the process was killed')
    }
    if (fault === null) return work.effect()
    work.inPart?.(part)
    throw errorOf(fault, operation, path)
  }
}
