// Writes the rows that weeks of live cameras leave in a cluster as SSTables, for `nodetool import`.
//
// Reads properties from its input: a folder, an instant (microseconds), numbers of cameras and segments, and the
// product's own statements; offline.py starts it. Names, ids and times of segments are those of offline.py.
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;
import org.apache.cassandra.dht.Murmur3Partitioner;
import org.apache.cassandra.io.sstable.CQLSSTableWriter;

public class Fill {
    static final long STEP = 10_000_000; // microseconds between starts of segments
    static final int CHUNK = 4_000_000; // ids an SSTable, as if the node had flushed so many
    static final DateTimeFormatter NAME = DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss.SSSSSS'Z'");
    static final Properties given = new Properties();
    static final AtomicInteger parts = new AtomicInteger();
    static Path folder;
    static long origin, bucket;
    static int cameras, segments, removed;

    public static void main(String[] none) throws Exception {
        given.load(System.in);
        folder = Path.of(given.getProperty("folder"));
        origin = Long.parseLong(given.getProperty("origin"));
        bucket = Long.parseLong(given.getProperty("bucket"));
        cameras = Integer.parseInt(given.getProperty("cameras"));
        segments = Integer.parseInt(given.getProperty("segments"));
        removed = Integer.parseInt(given.getProperty("removed"));
        List<Callable<Void>> work = new ArrayList<>(), later = new ArrayList<>();
        int step = Math.max(1, CHUNK / cameras);
        for (int i = 0; i < segments; i += step) {
            int from = i, to = Math.min(segments, i + step);
            work.add(() -> places("insert_place", from, to));
        }
        for (int i = 0; i < removed; i += step) {
            int from = i, to = Math.min(removed, i + step);
            later.add(() -> places("delete_place", from, to));
        }
        List<Month> months = months();
        int half = (months.size() + 1) / 2;
        work.add(0, () -> media(months.subList(0, half)));
        work.add(1, () -> media(months.subList(half, months.size())));
        work.add(2, Fill::vectors);
        work.add(3, Fill::holdings);
        var pool = Executors.newFixedThreadPool(2);
        for (Future<Void> each : pool.invokeAll(work)) each.get();
        for (Future<Void> each : pool.invokeAll(later)) each.get(); // newer than what they delete
        System.exit(0); // Cassandra's threads would keep it alive
    }

    /** A writer into a folder of its own, PART/KEYSPACE/TABLE: what is imported has to be in such. */
    static CQLSSTableWriter writer(String table, String statement) {
        var into = folder.resolve("part" + parts.getAndIncrement()).resolve(given.getProperty("keyspace")).resolve(table);
        into.toFile().mkdirs();
        return CQLSSTableWriter.builder().inDirectory(into.toString()).forTable(given.getProperty(table))
            .using(given.getProperty(statement)).sorted().build();
    }

    /** Segments of a camera in a month: a partition. */
    record Month(int camera, int month, int first, int end) {
        ByteBuffer key() {
            return composite(text(name(camera)), number(month));
        }
    }

    static List<Month> months() {
        List<Month> found = new ArrayList<>();
        for (int camera = 0; camera < cameras; camera++) {
            for (int first = 0, i = 1; i <= segments; i++) {
                if (i < segments && month(start(camera, i)) == month(start(camera, first))) continue;
                found.add(new Month(camera, month(start(camera, first)), first, i));
                first = i;
            }
        }
        sort(found, Month::key);
        return found;
    }

    static Void media(List<Month> months) throws Exception {
        try (var writer = writer("camera_media", "insert_media")) {
            for (Month each : months) {
                int camera = each.camera;
                ByteBuffer name = text(name(camera)), month = number(each.month);
                for (int i = each.first; i < each.end; i++) {
                    long start = start(camera, i), length = start(camera, i + 1) - start;
                    writer.rawAddRow(name, month, number(start), text(id(camera, i)), text(path(camera, start, length)),
                        text("segment"), text("rtcp"), number(start), number(length), real(length / 1e6), text("live"));
                }
            }
        }
        return null;
    }

    /** Rows, or their deletions, of the ids of the segments from ``from`` to ``to`` of all cameras. */
    static Void places(String statement, int from, int to) throws Exception {
        int count = (to - from) * cameras;
        long[] tokens = new long[count];
        Integer[] order = new Integer[count];
        for (int i = 0; i < count; i++) {
            tokens[i] = token(text(id(i % cameras, from + i / cameras)));
            order[i] = i;
        }
        Arrays.sort(order, Comparator.comparingLong(i -> tokens[i]));
        try (var writer = writer("places", statement)) {
            for (int at : order) {
                int camera = at % cameras, i = from + at / cameras;
                ByteBuffer id = text(id(camera, i));
                if (statement.equals("insert_place")) writer.rawAddRow(id, text(name(camera)), number(start(camera, i)));
                else writer.rawAddRow(id);
            }
        }
        return null;
    }

    /** A record of a camera: number ``row`` of the file of vectors. */
    record Frame(int camera, int segment, int row) {
        long time() {
            return start(camera, segment) + 1_000_000;
        }

        ByteBuffer key() {
            return composite(text(name(camera)), number(time() / bucket));
        }
    }

    /** Records of all cameras, spread evenly over their segments; nine tenths, or one a segment, of the first. */
    static List<Frame> frames() {
        int count = Integer.parseInt(given.getProperty("vectors"));
        int first = cameras == 1 ? count : Math.min(segments, (int) (count * 9L / 10)), row = 0;
        List<Frame> found = new ArrayList<>();
        for (int camera = 0; camera < cameras; camera++) {
            int own = camera == 0 ? first : (count - first) / (cameras - 1);
            for (int i = 0; i < own; i++) found.add(new Frame(camera, (int) ((long) i * segments / own), row++));
        }
        return found;
    }

    static Void vectors() throws Exception {
        int bytes = 4 * Integer.parseInt(given.getProperty("dim"));
        List<Frame> frames = frames();
        sort(frames, Frame::key);
        try (var file = FileChannel.open(Path.of(given.getProperty("file")));
             var writer = writer(given.getProperty("frames"), "insert_frame")) {
            ByteBuffer all = file.map(FileChannel.MapMode.READ_ONLY, 0, file.size());
            for (Frame each : frames) {
                ByteBuffer name = text(name(each.camera));
                writer.rawAddRow(name, number(each.time() / bucket), number(each.time()), number(0L),
                    text(id(each.camera, each.segment)), real(1.0), name, all.slice(each.row * bytes, bytes), number(0));
            }
        }
        return null;
    }

    /** The partitions of vectors by media. */
    static Void holdings() throws Exception {
        ByteBuffer space = text(given.getProperty("space"));
        List<Frame> frames = frames();
        sort(frames, each -> composite(space, text(id(each.camera, each.segment))));
        try (var writer = writer("holdings", "insert_holding")) {
            for (Frame each : frames) {
                writer.rawAddRow(space, text(id(each.camera, each.segment)), text(name(each.camera)),
                    number(each.time() / bucket), number(0));
            }
        }
        return null;
    }

    /** Order by the token of a key, as SSTables are; what has the same key stays in its order. */
    static <T> void sort(List<T> all, Function<T, ByteBuffer> key) {
        Map<T, Long> tokens = new HashMap<>();
        for (T each : all) tokens.put(each, token(key.apply(each)));
        all.sort(Comparator.comparing(tokens::get));
    }

    static String name(int camera) {
        return "cam" + padded(camera, 3);
    }

    static String padded(long number, int digits) {
        String text = Long.toString(number);
        return "0".repeat(digits - text.length()) + text;
    }

    /** A number without a pattern, as a hash gives it (splitmix64). */
    static long mix(int camera, int i) {
        long z = ((long) camera << 32 | i) * 0x9E3779B97F4A7C15L;
        z = (z ^ z >>> 30) * 0xBF58476D1CE4E5B9L;
        z = (z ^ z >>> 27) * 0x94D049BB133111EBL;
        return z ^ z >>> 31;
    }

    static String id(int camera, int i) {
        String hex = Long.toHexString(mix(camera, i));
        return "0".repeat(16 - hex.length()) + hex;
    }

    static long start(int camera, int i) {
        return origin + i * STEP + (mix(camera, i) >>> 48);
    }

    static String path(int camera, long start, long length) {
        String at = NAME.format(utc(start)), seconds = length / 1_000_000 + "." + padded(length % 1_000_000, 6);
        String day = at.substring(0, 4) + "-" + at.substring(4, 6) + "-" + at.substring(6, 8);
        return "/var/lib/footage/recordings/" + name(camera) + "/" + day + "/" + at + "_" + seconds + "s_rtcp.mp4";
    }

    static int month(long micros) {
        var at = utc(micros);
        return at.getYear() * 12 + at.getMonthValue() - 1;
    }

    static ZonedDateTime utc(long micros) {
        return Instant.ofEpochSecond(micros / 1_000_000, micros % 1_000_000 * 1000).atZone(ZoneOffset.UTC);
    }

    static long token(ByteBuffer key) {
        return (long) Murmur3Partitioner.instance.getToken(key).getTokenValue();
    }

    /** The key of a partition of several columns, as Cassandra writes it. */
    static ByteBuffer composite(ByteBuffer... parts) {
        ByteBuffer key = ByteBuffer.allocate(Arrays.stream(parts).mapToInt(part -> part.remaining() + 3).sum());
        for (ByteBuffer part : parts) key.putShort((short) part.remaining()).put(part.duplicate()).put((byte) 0);
        return key.flip();
    }

    static ByteBuffer text(String text) {
        return ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8));
    }

    static ByteBuffer number(int value) {
        return ByteBuffer.allocate(4).putInt(value).flip();
    }

    static ByteBuffer number(long value) {
        return ByteBuffer.allocate(8).putLong(value).flip();
    }

    static ByteBuffer real(double value) {
        return ByteBuffer.allocate(8).putDouble(value).flip();
    }
}
