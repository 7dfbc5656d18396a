/** A file system that dates files by a given clock, as the host's does by its own. */
import type { Clock } from '../../lib/clock.ts'
import { realFiles, type StoreFiles } from '../store-files.ts'

export function datedFiles(clock: Clock, files: StoreFiles = realFiles): StoreFiles {
  const changedAtMs = new Map<string, number>()
  const date = (path: string) => changedAtMs.set(path, clock.now())
  return {
    ...files,
    async write(path, bytes) {
      await files.write(path, bytes)
      date(path)
    },
    async writeDurably(path, bytes) {
      await files.writeDurably(path, bytes)
      date(path)
    },
    async rename(from, to) {
      await files.rename(from, to)
      date(to)
    },
    async link(existing, path) {
      await files.link(existing, path)
      date(existing)
      date(path)
    },
    async facts(path) {
      const facts = await files.facts(path)
      return { ...facts, changedAtMs: changedAtMs.get(path) ?? facts.changedAtMs }
    },
  }
}
