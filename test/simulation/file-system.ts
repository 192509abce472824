/**
 * The file-system port of one simulated process. What is one call of the port and several of the kernel is so here:
 * the process may die, and each step may fail, between any two. A call is done when it is made or when it is answered.
 */
import type { FileSystem, ReadableFile, WritableFile } from '../../src/storage/file-system.ts'
import { writeTemporary } from '../../src/storage/temporary-name.ts'
import { type FileNode, fault as failure, parentOf } from './disk-image.ts'
import type { Fault } from './faults.ts'
import type { SimulatedProcess } from './process.ts'
import { type Operation, type PortCall, editsOf } from './steps.ts'
import type { World } from './world.ts'

interface Work<T> {
  readonly effect: () => T
  readonly length?: number
  readonly grows?: boolean
  /** What is left of it when it breaks off. */
  readonly inPart?: (part: number) => void
}

export class SimulatedFileSystem implements FileSystem {
  readonly #world: World
  readonly #process: SimulatedProcess
  readonly #root: string
  /** Of the manifest files that are being made, by path. */
  readonly #edits = new Map<string, readonly string[]>()

  /** `root` is left out of what calls are named by. */
  constructor(world: World, process: SimulatedProcess, root: string) {
    this.#world = world
    this.#process = process
    this.#root = `${root}/`
  }

  async open(path: string): Promise<ReadableFile> {
    const node = await this.#io('open', path, { effect: () => this.#process.disk.file(path) })
    const { length } = node
    this.#process.openFiles++
    return {
      length,
      read: (position, count) =>
        this.#io('read', path, {
          length: count,
          effect: () => node.slice(path, position, count),
        }),
      close: async () => {
        this.#process.openFiles--
      },
    }
  }

  async create(path: string): Promise<WritableFile> {
    const effect = (): FileNode => this.#process.disk.create(path)
    const node = await this.#io('create', path, { effect, grows: true })
    this.#process.openFiles++
    return {
      write: (bytes) => this.#append(path, node, bytes),
      sync: () =>
        this.#io('sync', path, { effect: () => node.sync(), inPart: () => node.failSync() }),
      close: async () => {
        this.#process.openFiles--
      },
    }
  }

  read(path: string): Promise<Uint8Array> {
    return this.#io('read', path, {
      effect: () => {
        const node = this.#process.disk.file(path)
        return node.slice(path, 0, node.length)
      },
    })
  }

  /** As `NodeFileSystem`: a synced temporary file is linked to the name, whose directory is synced. */
  async putIfAbsent(path: string, bytes: Uint8Array): Promise<void> {
    this.#edits.set(path, editsOf(this.#name(path), bytes))
    try {
      const temporary = await writeTemporary(this, path, bytes)
      try {
        const { disk } = this.#process
        const effect = (): void => disk.link(disk.file(temporary), path)
        await this.#io('link', path, { effect, grows: true })
        await this.syncDirectory(parentOf(path))
      } finally {
        await this.remove(temporary).catch(() => {})
      }
    } finally {
      this.#edits.delete(path)
    }
  }

  rename(from: string, to: string): Promise<void> {
    const effect = (): void => this.#process.disk.rename(from, to)
    return this.#io('rename', from, { effect, inPart: (part) => part < 0.5 && effect() })
  }

  remove(path: string): Promise<void> {
    return this.#io('remove', path, { effect: () => this.#process.disk.remove(path) })
  }

  removeDirectory(path: string): Promise<void> {
    return this.#io('remove', path, { effect: () => this.#process.disk.remove(path) })
  }

  async makeDirectory(path: string): Promise<void> {
    const parent = parentOf(path)
    const found = await this.stat(path)
    if (found !== null && !found.isDirectory)
      throw failure('file_exists', 'make the directory', path, 'EEXIST')
    if (found === null) {
      if (parent !== '') await this.makeDirectory(parent)
      const effect = (): void => this.#process.disk.makeDirectory(path)
      await this.#io('make directory', path, { effect, grows: true })
    }
    await this.syncDirectory(parent)
  }

  list(path: string): Promise<readonly string[]> {
    return this.#io('list', path, { effect: () => this.#process.disk.directory(path).names })
  }

  stat(path: string): Promise<{ readonly length: number; readonly isDirectory: boolean } | null> {
    return this.#io('stat', path, {
      effect: () => {
        const node = this.#process.disk.find(path)
        if (node === null) return null
        return node.kind === 'file'
          ? { length: node.length, isDirectory: false }
          : { length: 0, isDirectory: true }
      },
    })
  }

  syncDirectory(path: string): Promise<void> {
    return this.#io('sync directory', path, {
      effect: () => this.#process.disk.directory(path).sync(),
    })
  }

  #append(path: string, node: FileNode, bytes: Uint8Array): Promise<void> {
    const position = node.length
    return this.#io('write', path, {
      length: bytes.length,
      grows: true,
      effect: () => node.write(bytes, position),
      inPart: (part) => node.write(bytes.subarray(0, Math.floor(part * bytes.length)), position),
    })
  }

  #io<T>(operation: Operation, path: string, work: Work<T>): Promise<T> {
    const world = this.#world
    const process = this.#process
    return process.call<T>((resolve, reject) => {
      const { death, fault, latencyMs, part, steps } = world.judge(
        process,
        this.#callOf(operation, path, work),
      )
      if (death !== null) {
        if (death === 'within') work.inPart?.(part)
        if (death === 'after') attempt(work.effect)
        process.crash(steps)
        return
      }
      const act = (): Outcome<T> =>
        attempt(() => {
          if (fault === null) return work.effect()
          work.inPart?.(part)
          throw errorOf(fault, operation, path)
        })
      const early = world.dice.chance(0.5) ? act() : null
      process.after(latencyMs, () => {
        const outcome = early ?? act()
        if ('error' in outcome) reject(outcome.error)
        else resolve(outcome.value)
      })
    })
  }

  #callOf<T>(operation: Operation, path: string, work: Work<T>): PortCall {
    const [target = path] = path.split('~')
    return {
      port: 'file',
      operation,
      path: this.#name(path),
      length: work.length ?? 0,
      grows: work.grows ?? false,
      edits: this.#edits.get(target) ?? this.#editsBelow(operation, path),
    }
  }

  /** The sync of a directory is part of what is being made in it. */
  #editsBelow(operation: Operation, path: string): readonly string[] {
    if (operation !== 'sync directory') return []
    return [...this.#edits].flatMap(([target, edits]) => (parentOf(target) === path ? edits : []))
  }

  #name(path: string): string {
    return path.startsWith(this.#root) ? path.slice(this.#root.length) : path
  }
}

type Outcome<T> = { readonly value: T } | { readonly error: Error }

function attempt<T>(effect: () => T): Outcome<T> {
  try {
    return { value: effect() }
  } catch (error) {
    return { error: error as Error }
  }
}

export function errorOf(fault: Fault, operation: string, path: string): Error {
  return fault === 'no-space'
    ? failure('disk_full', operation, path, 'ENOSPC')
    : failure('file_system_failed', operation, path, 'EIO')
}
