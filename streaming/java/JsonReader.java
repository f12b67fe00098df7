package tidemark;

import java.io.Serializable;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.catalyst.expressions.GenericInternalRow;
import org.apache.spark.sql.catalyst.util.ArrayBasedMapData;
import org.apache.spark.sql.catalyst.util.GenericArrayData;
import org.apache.spark.unsafe.Platform;
import org.apache.spark.unsafe.types.UTF8String;

/**
 * Reads a JSON object from UTF-8 as Spark's from_json does, and gives up (null) on whatever from_json might see in
 * another way: a value that is not of its column's type, numbers and timestamps in a rare form, a name that is
 * escaped or comes twice, a nested value that nobody wants, an error. Positions are places in the text; -1 is
 * giving up.
 */
public final class JsonReader implements Serializable {
    private static final long serialVersionUID = 1L;
    private static final int LONGEST = 1 << 20;
    /** Powers of ten that a double holds exactly. */
    private static final double[] TENS = {
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18
    };
    private static final int[] MONTHS = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    private static final byte[] NULL = {'n', 'u', 'l', 'l'};
    private static final byte[] TRUE = {'t', 'r', 'u', 'e'};
    private static final byte[] FALSE = {'f', 'a', 'l', 's', 'e'};

    private final String kinds;
    private final JsonReader[] inner;
    private final byte[][] names;
    private final int[] table;

    /**
     * Names by lines, and a letter for each column's type, of those that `value` knows. `inner` has a reader for each
     * column that is nested: for a struct its own, for an array or a map one whose first column is an element.
     */
    public JsonReader(String lines, String kinds, List inner) {
        String[] columns = lines.split("\n");
        this.kinds = kinds;
        this.inner = (JsonReader[]) inner.toArray(new JsonReader[inner.size()]);
        this.names = new byte[columns.length][];
        int size = 4;
        while (size < 4 * columns.length) size *= 2;
        this.table = new int[size];
        for (int i = 0; i < columns.length; i++) {
            this.names[i] = (columns[i] + "\"").getBytes(StandardCharsets.US_ASCII);
            int at = hash(this.names[i], 0, this.names[i].length - 1) & (size - 1);
            while (this.table[at] != 0) at = (at + 1) & (size - 1);
            this.table[at] = i + 1;
        }
    }

    public InternalRow read(byte[] text) {
        if (text.length > LONGEST) return null;
        Object[] row = new Object[this.names.length];
        int at = this.fields(text, space(text, 0), row);
        return at >= 0 && space(text, at) == text.length ? new GenericInternalRow(row) : null;
    }

    private int fields(byte[] text, int open, Object[] row) {
        if (!is(text, open, '{')) return -1;
        int at = space(text, open + 1);
        if (is(text, at, '}')) return at + 1;
        boolean[] seen = new boolean[row.length];
        int column = -1;
        while (true) {
            if (!is(text, at, '"')) return -1;
            int end = this.starts(text, at + 1, column + 1);
            boolean known = end >= 0;
            if (known) {
                column++;
            } else {
                end = name(text, at + 1);
                if (end < 0) return -1;
                int found = this.find(text, at + 1, end);
                known = found >= 0;
                if (known) column = found;
            }
            at = space(text, end + 1);
            if (!is(text, at, ':')) return -1;
            at = space(text, at + 1);
            if (known) {
                if (seen[column]) return -1;
                seen[column] = true;
                at = this.value(text, at, column, row);
            } else {
                at = skip(text, at);
            }
            if (at < 0) return -1;
            at = space(text, at);
            if (is(text, at, '}')) return at + 1;
            if (!is(text, at, ',')) return -1;
            at = space(text, at + 1);
        }
    }

    /** The end of the name of `column`, where that is what stands here: most messages have the order of the schema. */
    private int starts(byte[] text, int at, int column) {
        if (column >= this.names.length) return -1;
        byte[] name = this.names[column];
        if (at + name.length > text.length) return -1;
        for (int i = 0; i < name.length; i++) {
            if (text[at + i] != name[i]) return -1;
        }
        return at + name.length - 1;
    }

    private static int name(byte[] text, int at) {
        for (int end = at; end < text.length; end++) {
            byte c = text[end];
            if (c == '"') return end;
            if (c < ' ' || c == '\\') return -1;
        }
        return -1;
    }

    private int find(byte[] text, int start, int end) {
        int mask = this.table.length - 1;
        int at = hash(text, start, end) & mask;
        while (this.table[at] != 0) {
            int column = this.table[at] - 1;
            if (this.starts(text, start, column) == end) return column;
            at = (at + 1) & mask;
        }
        return -1;
    }

    private static int hash(byte[] text, int start, int end) {
        int hash = end - start;
        for (int i = start; i < end; i++) hash = 31 * hash + text[i];
        return hash ^ (hash >>> 15);
    }

    private int value(byte[] text, int at, int column, Object[] row) {
        if (at >= text.length) return -1;
        if (text[at] == 'n') return word(text, at, NULL);
        switch (this.kinds.charAt(column)) {
            case 's':
                return string(text, at, column, row);
            case 'd':
                return real(text, at, column, row);
            case 'l':
                return whole(text, at, 18, column, row);
            case 'i':
                return whole(text, at, 9, column, row);
            case 'b':
                row[column] = Boolean.valueOf(text[at] == 't');
                return word(text, at, text[at] == 't' ? TRUE : FALSE);
            case 't':
                return timestamp(text, at, column, row);
            case 'D':
                return date(text, at, column, row);
            case 'a':
                return array(text, at, this.inner[column], column, row);
            case 'm':
                return map(text, at, this.inner[column], column, row);
            case 'r':
                Object[] fields = new Object[this.inner[column].names.length];
                row[column] = new GenericInternalRow(fields);
                return this.inner[column].fields(text, at, fields);
            default:
                return -1;
        }
    }

    private static int array(byte[] text, int open, JsonReader element, int column, Object[] row) {
        if (text[open] != '[') return -1;
        List held = new ArrayList();
        Object[] cell = new Object[1];
        int at = space(text, open + 1);
        boolean more = !is(text, at, ']');
        while (more) {
            cell[0] = null;
            at = element.value(text, at, 0, cell);
            if (at < 0) return -1;
            held.add(cell[0]);
            at = space(text, at);
            more = is(text, at, ',');
            if (more) at = space(text, at + 1);
            else if (!is(text, at, ']')) return -1;
        }
        row[column] = new GenericArrayData(held.toArray());
        return at + 1;
    }

    private static int map(byte[] text, int open, JsonReader element, int column, Object[] row) {
        if (text[open] != '{') return -1;
        List keys = new ArrayList();
        List held = new ArrayList();
        Object[] cell = new Object[1];
        int at = space(text, open + 1);
        boolean more = !is(text, at, '}');
        while (more) {
            if (!is(text, at, '"')) return -1;
            at = string(text, at, 0, cell);
            if (at < 0) return -1;
            keys.add(cell[0]);
            at = space(text, at);
            if (!is(text, at, ':')) return -1;
            cell[0] = null;
            at = element.value(text, space(text, at + 1), 0, cell);
            if (at < 0) return -1;
            held.add(cell[0]);
            at = space(text, at);
            more = is(text, at, ',');
            if (more) at = space(text, at + 1);
            else if (!is(text, at, '}')) return -1;
        }
        row[column] = new ArrayBasedMapData(new GenericArrayData(keys.toArray()), new GenericArrayData(held.toArray()));
        return at + 1;
    }

    private static int skip(byte[] text, int at) {
        if (at >= text.length) return -1;
        switch (text[at]) {
            case '"':
                return string(text, at, 0, new Object[1]);
            case 'n':
                return word(text, at, NULL);
            case 't':
                return word(text, at, TRUE);
            case 'f':
                return word(text, at, FALSE);
            default:
                return real(text, at, 0, new Object[1]);
        }
    }

    private static int word(byte[] text, int at, byte[] word) {
        if (at + word.length > text.length) return -1;
        for (int i = 0; i < word.length; i++) {
            if (text[at + i] != word[i]) return -1;
        }
        return at + word.length;
    }

    private static int string(byte[] text, int at, int column, Object[] row) {
        if (text[at] != '"') return -1;
        int start = at + 1;
        boolean ascii = true;
        for (int end = start; end < text.length; end++) {
            byte c = text[end];
            if (c == '"') {
                if (!ascii && !valid(text, start, end)) return -1;
                row[column] = UTF8String.fromAddress(text, Platform.BYTE_ARRAY_OFFSET + start, end - start);
                return end + 1;
            }
            if (c == '\\') return escaped(text, start, column, row);
            if (c < 0) ascii = false;
            else if (c < ' ') return -1;
        }
        return -1;
    }

    private static int escaped(byte[] text, int start, int column, Object[] row) {
        StringBuilder made = new StringBuilder();
        int plain = start;
        for (int end = start; end < text.length; end++) {
            byte c = text[end];
            if (c >= 0 && c < ' ') return -1;
            if (c != '"' && c != '\\') continue;
            String before = new String(text, plain, end - plain, StandardCharsets.UTF_8);
            made.append(before);
            if (before.indexOf('\ufffd') >= 0) return -1;
            if (c == '"') {
                String whole = made.toString();
                // What is no text (half of a pair) has no bytes either.
                if (!StandardCharsets.UTF_8.newEncoder().canEncode(whole)) return -1;
                row[column] = UTF8String.fromString(whole);
                return end + 1;
            }
            if (++end >= text.length) return -1;
            int meant = "\"\\/bfnrt".indexOf(text[end]);
            if (meant >= 0) {
                made.append("\"\\/\b\f\n\r\t".charAt(meant));
            } else {
                if (text[end] != 'u' || end + 4 >= text.length) return -1;
                int code = 0;
                for (int i = 1; i <= 4; i++) {
                    int digit = text[end + i] < 0 ? -1 : Character.digit((char) text[end + i], 16);
                    if (digit < 0) return -1;
                    code = 16 * code + digit;
                }
                made.append((char) code);
                end += 4;
            }
            plain = end + 1;
        }
        return -1;
    }

    /** Whether the bytes are what their text would be written as. */
    private static boolean valid(byte[] text, int start, int end) {
        return new String(text, start, end - start, StandardCharsets.UTF_8).indexOf('\ufffd') < 0;
    }

    private static int whole(byte[] text, int at, int digits, int column, Object[] row) {
        int start = is(text, at, '-') ? at + 1 : at;
        int end = digits(text, start);
        if (end - start > digits || !plain(text, start, end) || real(text, end)) return -1;
        long number = number(text, start, end, 0L);
        if (start > at) number = -number;
        row[column] = digits == 18 ? (Object) Long.valueOf(number) : (Object) Integer.valueOf((int) number);
        return end;
    }

    private static int real(byte[] text, int at, int column, Object[] row) {
        int start = is(text, at, '-') ? at + 1 : at;
        int end = digits(text, start);
        if (end - start > 18 || !plain(text, start, end)) return -1;
        long number = number(text, start, end, 0L);
        if (!real(text, end)) {
            // A whole number has no negative zero.
            if (number == 0L && start > at) return -1;
            row[column] = Double.valueOf((double) (start > at ? -number : number));
            return end;
        }
        int scale = 0;
        int last = end;
        if (text[end] == '.') {
            last = digits(text, end + 1);
            scale = last - end - 1;
            if (scale == 0) return -1;
        }
        boolean exact = end - start + scale <= 18;
        if (exact) number = number(text, end + 1, last, number);
        if (is(text, last, 'e') || is(text, last, 'E')) {
            exact = false;
            int power = is(text, last + 1, '-') || is(text, last + 1, '+') ? last + 2 : last + 1;
            last = digits(text, power);
            if (last == power || last - power > 2) return -1;
        }
        if (last - at > 60) return -1;
        double found;
        // Both are exact then, and so their quotient is the nearest double (Clinger, PLDI 1990).
        if (exact && number <= 1L << 53) found = start > at ? -(number / TENS[scale]) : number / TENS[scale];
        else found = Double.parseDouble(new String(text, at, last - at, StandardCharsets.US_ASCII));
        row[column] = Double.valueOf(found);
        return last;
    }

    private static boolean real(byte[] text, int at) {
        return is(text, at, '.') || is(text, at, 'e') || is(text, at, 'E');
    }

    /** Whether digits are a whole number as JSON writes it. */
    private static boolean plain(byte[] text, int start, int end) {
        return end == start + 1 || end > start && text[start] != '0';
    }

    private static int digits(byte[] text, int at) {
        while (at < text.length && text[at] >= '0' && text[at] <= '9') at++;
        return at;
    }

    private static long number(byte[] text, int start, int end, long before) {
        for (int i = start; i < end; i++) before = 10L * before + (text[i] - '0');
        return before;
    }

    /** 2026-01-31 */
    private static int date(byte[] text, int at, int column, Object[] row) {
        if (text[at] != '"' || !is(text, at + 11, '"')) return -1;
        long day = day(text, at + 1);
        row[column] = Integer.valueOf((int) day);
        return day == Long.MIN_VALUE ? -1 : at + 12;
    }

    /** 2026-01-31T23:59:59Z, with up to six digits of a fraction. */
    private static int timestamp(byte[] text, int at, int column, Object[] row) {
        int start = at + 1;
        if (text[at] != '"' || start + 21 > text.length) return -1;
        if (text[start + 10] != 'T' || text[start + 13] != ':' || text[start + 16] != ':') return -1;
        long day = day(text, start);
        long hour = two(text, start + 11), minute = two(text, start + 14), second = two(text, start + 17);
        if (day == Long.MIN_VALUE || hour < 0L || hour > 23L) return -1;
        if (minute < 0L || minute > 59L || second < 0L || second > 59L) return -1;
        int end = start + 19;
        long micros = 0L;
        if (text[end] == '.') {
            int last = digits(text, end + 1);
            int scale = last - end - 1;
            if (scale < 1 || scale > 6) return -1;
            micros = number(text, end + 1, last, 0L);
            for (int i = scale; i < 6; i++) micros *= 10L;
            end = last;
        }
        if (!is(text, end, 'Z') || !is(text, end + 1, '"')) return -1;
        row[column] = Long.valueOf((((day * 24L + hour) * 60L + minute) * 60L + second) * 1000000L + micros);
        return end + 2;
    }

    /** Days from 1970-01-01 to the date of ten bytes, by years that begin in March; MIN_VALUE if it is none. */
    private static long day(byte[] text, int at) {
        long high = two(text, at), low = two(text, at + 2), month = two(text, at + 5), day = two(text, at + 8);
        long year = 100L * high + low;
        boolean none = text[at + 4] != '-' || text[at + 7] != '-' || low < 0L || year < 1900L;
        if (none || month < 1L || month > 12L || day < 1L || day > length(year, (int) month)) return Long.MIN_VALUE;
        long y = month > 2L ? year : year - 1L;
        long of = (153L * (month > 2L ? month - 3L : month + 9L) + 2L) / 5L + day - 1L;
        return 365L * y + y / 4L - y / 100L + y / 400L + of - 719468L;
    }

    private static long two(byte[] text, int at) {
        int tens = text[at] - '0', ones = text[at + 1] - '0';
        return tens < 0 || tens > 9 || ones < 0 || ones > 9 ? -1L : (long) (10 * tens + ones);
    }

    private static long length(long year, int month) {
        boolean leap = year % 4L == 0L && (year % 100L != 0L || year % 400L == 0L);
        return month == 2 && leap ? 29L : (long) MONTHS[month - 1];
    }

    private static int space(byte[] text, int at) {
        while (at < text.length && (text[at] == ' ' || text[at] == '\n' || text[at] == '\r' || text[at] == '\t')) at++;
        return at;
    }

    private static boolean is(byte[] text, int at, char wanted) {
        return at < text.length && text[at] == wanted;
    }
}
