/**
 * The manifest of one place, a data directory or an archive: its newest state, and the only way to change it.
 *
 * Invariants:
 * - commit N+1 is written by put-if-absent and names the hash of commit N, so of any number of writers one wins each
 *   number, and the loser knows before it acknowledged anything;
 * - a store that met a rival's commit is fenced: it refuses every later commit, and says so to who opened it before
 *   anybody else hears of it;
 * - `state` is what was read or committed last; it never holds an edit whose file may not exist.
 *
 * A put that failed is unknown: its file may be there, or land later. The next commit finds out, because it wants the
 * same name: a file there that carries our writer id and epoch is that earlier put and is applied first.
 */
import { assert } from '../base/assert.ts'
import type { Clock } from '../base/clock.ts'
import { StratalogError } from '../base/errors.ts'
import { type Logger, silentLogger } from '../base/logger.ts'
import { Mutex } from '../base/mutex.ts'
import { MANIFEST_COMMITS_PER_BASE, MANIFEST_COMMITS_PER_BASE_MAX } from '../format/limits.ts'
import { applyEdits } from '../format/manifest-builder.ts'
import {
  type ManifestCommit,
  decodeCommit,
  encodeCommit,
  manifestFileHash,
} from '../format/manifest-codec.ts'
import { type PagePlan, pagesOf, planPages } from '../format/manifest-page-list.ts'
import type { ManifestEdit, ManifestState, Writer } from '../format/manifest.ts'
import { manifestPath } from '../format/paths.ts'
import {
  type BaseSource,
  NO_BASE,
  type StoredBase,
  readRoot,
  removeOlderBases,
  writeBase,
} from './manifest-base.ts'
import {
  type LoadedManifest,
  type ManifestPosition,
  commitFile,
  followedBy,
  loadManifest,
} from './manifest-chain.ts'
import type { ManifestFiles } from './manifest-files.ts'

export interface ManifestStoreOptions {
  readonly clock: Clock
  readonly logger?: Logger
  /** Is told when a newer writer was met, before anybody who waits is. */
  readonly onFenced?: (error: StratalogError) => void
}

/**
 * Edits, or a function that makes them from the state they will meet. It may be called again, and
 * must not change anything.
 */
export type EditsOrMaker =
  | readonly ManifestEdit[]
  | ((state: ManifestState) => readonly ManifestEdit[])

interface Waiting {
  readonly edits: EditsOrMaker
  readonly resolve: (state: ManifestState) => void
  readonly reject: (error: unknown) => void
}

/** How often a claim tries again after rivals took its number. */
const CLAIM_ATTEMPTS_MAX = 16

export class ManifestStore {
  // Fixed at construction.
  readonly #files: ManifestFiles
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #onFenced: (error: StratalogError) => void
  readonly #mutex = new Mutex()

  // Owned by the section that holds the mutex.
  #position: ManifestPosition
  #writer: Writer | null = null
  #fenced: StratalogError | null = null
  #isClosed = false
  #isSure = true
  /** Monotonic. */
  #provenAt = -Infinity
  #waiting: Waiting[] = []
  #base: StoredBase
  /** The one before, if it was made here. */
  #previousBase: StoredBase = NO_BASE
  /** Of the commits since the base, and how many of them a new base would be worth. */
  #commitBytes: number
  #baseWeight: number
  #baseTriedAt: number
  #baseWrite: Promise<void> | null = null

  private constructor(
    files: ManifestFiles,
    options: ManifestStoreOptions,
    { position, base, commitBytes }: LoadedManifest,
  ) {
    this.#files = files
    this.#clock = options.clock
    this.#logger = options.logger ?? silentLogger
    this.#onFenced = options.onFenced ?? (() => {})
    this.#position = position
    this.#base = base
    this.#commitBytes = commitBytes
    this.#baseWeight = base.bytes
    this.#baseTriedAt = base.number
  }

  /**
   * Reads the newest state; writes nothing. A place without a manifest gives number 0 and the empty state.
   * @throws StratalogError `manifest_corrupt`, `format_unsupported`, and what the files throw.
   */
  static async open(files: ManifestFiles, options: ManifestStoreOptions): Promise<ManifestStore> {
    const loaded = await loadManifest(files, options.logger ?? silentLogger)
    return new ManifestStore(files, options, loaded)
  }

  get location(): string {
    return this.#files.location
  }
  /** The newest state that is known here. */
  get state(): ManifestState {
    return this.#position.state
  }
  /** Whether `state` is all there is: a commit that was answered with an error may be there, or land later. */
  get isSure(): boolean {
    return this.#isSure
  }
  /** When `state` last was all there is, on the monotonic clock: nobody else was the writer by then. */
  get provenAt(): number {
    return this.#provenAt
  }
  /** The number of the newest commit that is known here; 0 before the first. */
  get number(): number {
    return this.#position.number
  }

  /**
   * Makes `writer` the writer, with the next epoch. Whoever wrote before is fenced at its next commit. An empty
   * manifest becomes that of the engine `newEngineId`. Whatever `more` says is part of the same commit. `check` is
   * asked of the very state that the claim follows; where it throws, nothing is written and nobody is fenced.
   */
  claim(
    writer: Writer,
    newEngineId: string,
    more: readonly ManifestEdit[] = [],
    check: (state: ManifestState) => void | Promise<void> = () => {},
  ): Promise<ManifestState> {
    return this.#mutex.run(async () => {
      this.#checkOpen()
      for (let attempt = 0; attempt < CLAIM_ATTEMPTS_MAX; attempt++) {
        await this.#catchUp()
        await check(this.state)
        const { engineId, epoch } = this.state
        const claimed: ManifestEdit = { kind: 'writer-claimed', epoch: epoch + 1, writer }
        const created: readonly ManifestEdit[] =
          engineId === '' ? [{ kind: 'engine-created', engineId: newEngineId }] : []
        const edits = [...created, claimed, ...more]
        const outcome = await this.#put(edits, applyEdits(this.state, edits))
        if (outcome.kind === 'rival') continue
        this.#writer = writer
        return this.state
      }
      throw this.#fence(
        { writerId: this.state.writer?.id ?? '', epoch: this.state.epoch, edits: [] },
        writer,
      )
    })
  }

  /**
   * Commits edits and returns the state after them. Calls that wait at the same time share a commit; edits that do not
   * fit fail alone. No edits commit nothing.
   * @throws StratalogError `manifest_corrupt` when the edits do not fit, `writer_fenced` when a newer writer is there,
   * `engine_closed`; anything else means unknown: the edits may or may not be there, and the next commit will know.
   */
  commit(edits: EditsOrMaker): Promise<ManifestState> {
    const { promise, resolve, reject } = Promise.withResolvers<ManifestState>()
    this.#waiting.push({ edits, resolve, reject })
    void this.#mutex.run(() => this.#drain())
    return promise
  }

  /**
   * Reads what others committed since. A writer reads nothing new: it learns that it is still the writer, or
   * @throws StratalogError `writer_fenced`.
   */
  refresh(): Promise<ManifestState> {
    return this.#mutex.run(async () => {
      this.#checkOpen()
      await this.#catchUp()
      return this.state
    })
  }

  /**
   * Makes `state` all there is: where a commit was answered with an error, takes its number or finds it there.
   * @throws StratalogError as `commit`.
   */
  settle(): Promise<void> {
    return this.#mutex.run(async () => {
      this.#checkOpen()
      assert(this.#writer !== null, 'a writer claims the manifest before it settles it')
      while (!this.#isSure) {
        const outcome = await this.#put([], this.state)
        if (outcome.kind === 'rival') throw this.#fence(outcome.commit, this.#writer)
      }
    })
  }

  /**
   * Writes the whole state down, so that nobody has to read a commit before it. After a failed sync of a directory
   * the name of a commit may be gone with the next crash though it is seen now, and no later sync would say so.
   */
  rebase(): Promise<void> {
    return this.#mutex.run(async () => {
      this.#checkOpen()
      await this.#baseWrite
      const source = this.#baseSource()
      const { number, previousBase } = this.#base
      const previous = number < source.number ? number : previousBase
      const plan = planPages(source.state)
      this.#isBase(await writeBase(this.#files, source, previous, plan, true))
      this.#commitBytes = 0
    })
  }

  /**
   * Runs `section` while no base is written and nothing is committed; `used` are the pages that bases name, or that the
   * next one counts on.
   */
  betweenBases<T>(section: (used: ReadonlySet<string>) => Promise<T>): Promise<T> {
    return this.#mutex.run(async () => {
      this.#checkOpen()
      await this.#baseWrite
      const used = new Set(pagesOf(this.state))
      for (let base: StoredBase | undefined = this.#base; base !== undefined;) {
        for (const { sha256 } of base.pages) used.add(sha256)
        const before: number = base.previousBase
        base = before === 0 ? undefined : (await readRoot(this.#files, before))?.base
      }
      return section(used)
    })
  }

  /** Waits for what is under way and refuses what comes after. */
  async close(): Promise<void> {
    await this.#mutex.run(async () => {
      this.#isClosed = true
      await this.#baseWrite
    })
  }

  async #drain(): Promise<void> {
    let waiting = this.#waiting
    this.#waiting = []
    try {
      while (waiting.length > 0) {
        this.#checkOpen()
        assert(this.#writer !== null, 'a writer claims the manifest before it commits')
        const merged = this.#merge(waiting)
        waiting = merged.members
        if (waiting.length === 0) return
        const outcome = await this.#put(merged.edits, merged.state)
        if (outcome.kind === 'rival') throw this.#fence(outcome.commit, this.#writer)
        if (outcome.kind === 'earlier') continue
        for (const { resolve } of waiting) resolve(this.state)
        waiting = []
        this.#startBase()
      }
    } catch (error) {
      for (const { reject } of waiting) reject(error)
    }
  }

  /** The edits of all who wait. Who has none is answered, who has some that do not fit is refused. */
  #merge(waiting: readonly Waiting[]): {
    readonly edits: readonly ManifestEdit[]
    readonly state: ManifestState
    readonly members: Waiting[]
  } {
    const merged: ManifestEdit[] = []
    const members: Waiting[] = []
    let { state } = this
    for (const member of waiting) {
      try {
        const edits = typeof member.edits === 'function' ? member.edits(state) : member.edits
        state = applyEdits(state, edits)
        // Who has none because of edits that still wait is answered with them, not before.
        if (edits.length === 0 && merged.length === 0) {
          member.resolve(this.state)
          continue
        }
        for (const edit of edits) merged.push(edit)
        members.push(member)
      } catch (error) {
        member.reject(error)
      }
    }
    return { edits: merged, state, members }
  }

  /**
   * Writes the next commit, which leads to `state`. `earlier` says that an earlier put of ours,
   * thought failed, had taken the number.
   */
  async #put(
    edits: readonly ManifestEdit[],
    state: ManifestState,
  ): Promise<
    | { readonly kind: 'done' | 'earlier' }
    | { readonly kind: 'rival'; readonly commit: ManifestCommit }
  > {
    const { number, hash } = this.#position
    const { epoch } = state
    const writerId = state.writer?.id ?? ''
    const next = {
      number: number + 1,
      previousHash: hash,
      epoch,
      writerId,
      time: this.#clock.now(),
      edits,
    }
    const bytes = encodeCommit(next)
    this.#isSure = false
    const begunAt = this.#clock.monotonic()
    if (await this.#putIfAbsent(next.number, bytes)) {
      this.#isSure = true
      this.#provenAt = begunAt
      this.#position = { number: next.number, hash: manifestFileHash(bytes), state }
      this.#commitBytes += bytes.length
      return { kind: 'done' }
    }
    const found = await this.#readCommit(next.number)
    if (found === null) {
      throw new StratalogError(
        'store_unavailable',
        `${this.location}: ${manifestPath(commitFile(next.number))} is taken and cannot be read.`,
      )
    }
    this.#isSure = true
    if (found.commit.writerId !== writerId) return { kind: 'rival', commit: found.commit }
    this.#position = followedBy(this.#position, found.bytes, found.commit)
    return { kind: Buffer.compare(found.bytes, bytes) === 0 ? 'done' : 'earlier' }
  }

  /** False when the name is taken, also when a put that reported a failure did it. */
  async #putIfAbsent(number: number, bytes: Uint8Array): Promise<boolean> {
    try {
      return await this.#files.putIfAbsent(commitFile(number), bytes)
    } catch (error) {
      const found = await this.#files.read(commitFile(number)).catch(() => null)
      if (found === null) throw error
      // It can be read, which does not make it durable: only a put that finds the name taken says that.
      return this.#files.putIfAbsent(commitFile(number), bytes)
    }
  }

  async #readCommit(
    number: number,
  ): Promise<{ readonly bytes: Uint8Array; readonly commit: ManifestCommit } | null> {
    const bytes = await this.#files.read(commitFile(number))
    return bytes === null
      ? null
      : { bytes, commit: decodeCommit(bytes, manifestPath(commitFile(number))) }
  }

  /** Applies what was committed since, up to the first number that is free. */
  async #catchUp(): Promise<void> {
    for (;;) {
      const begunAt = this.#clock.monotonic()
      const found = await this.#readCommit(this.number + 1)
      if (found === null) {
        this.#provenAt = begunAt
        return
      }
      const writer = this.#writer
      // Of another epoch it may be: a claim of ours that was answered with an error.
      const isOurs = writer === null || found.commit.writerId === writer.id
      if (!isOurs) throw this.#fence(found.commit, writer)
      this.#position = followedBy(this.#position, found.bytes, found.commit)
    }
  }

  #checkOpen(): void {
    if (this.#fenced !== null) throw this.#fenced
    if (this.#isClosed)
      throw new StratalogError('engine_closed', `The manifest of ${this.location} is closed.`)
  }

  #fence(
    commit: Pick<ManifestCommit, 'writerId' | 'epoch' | 'edits'>,
    writer: Writer,
  ): StratalogError {
    const claim = commit.edits.find((edit) => edit.kind === 'writer-claimed')
    const rival = { id: commit.writerId, epoch: commit.epoch, ...claim?.writer }
    this.#fenced = new StratalogError(
      'writer_fenced',
      `${this.location} has a newer writer: ${rival.id}, epoch ${rival.epoch}.`,
      {
        details: {
          location: this.location,
          number: this.number + 1,
          writer: { ...writer, epoch: this.state.epoch },
          rival,
        },
      },
    )
    this.#onFenced(this.#fenced)
    return this.#fenced
  }

  /**
   * Bases save readers time and nothing else: one is written beside the commits, and its failure is only reported. It
   * is due when the commits since the last one weigh as much as it does, so it costs each of them the same again
   * however much the manifest holds; at the latest after so many commits that opening would have to read too many.
   */
  #startBase(): void {
    const since = this.number - this.#baseTriedAt
    if (this.#baseWrite !== null || since < MANIFEST_COMMITS_PER_BASE) return
    const isOverdue = since >= MANIFEST_COMMITS_PER_BASE_MAX
    if (!isOverdue && this.#commitBytes < this.#baseWeight) return
    const plan = planPages(this.state)
    const weight = this.#base.bytes + plan.addedBytes
    if (!isOverdue && this.#commitBytes < weight) {
      this.#baseWeight = weight
      return
    }
    this.#baseWrite = this.#writeBase(this.#baseSource(), plan)
  }

  #baseSource(): BaseSource {
    const { number, hash, state } = this.#position
    return { number, commitHash: hash, time: this.#clock.now(), state }
  }

  #isBase(base: StoredBase): void {
    this.#base = base
    this.#baseWeight = base.bytes
    this.#baseTriedAt = base.number
  }

  async #writeBase(source: BaseSource, plan: PagePlan): Promise<void> {
    const previous = this.#base
    const { number } = source
    this.#commitBytes = 0
    this.#baseTriedAt = number
    try {
      this.#isBase(await writeBase(this.#files, source, previous.number, plan))
      if (this.#fenced !== null) return
      const known = this.#previousBase
      this.#previousBase = await removeOlderBases(this.#files, this.#base, previous, known)
    } catch (error) {
      this.#logger.warn('A manifest base was not written; opening reads more commits.', {
        location: this.location,
        number,
        error,
      })
    } finally {
      this.#baseWrite = null
    }
  }
}
