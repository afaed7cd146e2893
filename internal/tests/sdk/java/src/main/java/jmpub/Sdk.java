package jmpub;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

import cn.jmessage.api.JMessageClient;
import cn.jmessage.api.chatroom.ChatRoomListResult;
import cn.jmessage.api.common.JMessageConfig;
import cn.jmessage.api.group.GroupListResult;
import cn.jmessage.api.message.MessageListResult;
import cn.jmessage.api.message.MessageResult;
import cn.jmessage.api.reportv2.ReportClient;
import cn.jmessage.api.user.UserListResult;
import com.google.gson.Gson;

/** Asks the API for all that the SDK can ask it for, and prints what came as one JSON object: URL KEY SECRET BEGIN END USER GROUP. */
public final class Sdk {
    private static final int PAGE = 100;

    /** A page after the one whose cursor is given. */
    private interface Next {
        MessageListResult after(String cursor) throws Exception;
    }

    public static void main(String[] args) throws Exception {
        JMessageConfig config = JMessageConfig.getInstance().setApiHostName(args[0]).setReportHostName(args[0]);
        JMessageClient client = new JMessageClient(args[1], args[2], null, config);
        ReportClient report = new ReportClient(args[1], args[2], null, config);
        String begin = args[3], end = args[4], user = args[5];
        String day = begin.substring(0, 10);

        Map<String, Object> seen = new LinkedHashMap<>();
        seen.put("messages", all(report.v2GetMessageList(PAGE, begin, end), report::v2GetMessageListByCursor));
        seen.put("user", all(report.v2GetUserMessages(user, PAGE, begin, end), c -> report.v2GetUserMessagesByCursor(user, c)));
        // The SDK has nothing that follows a group's cursor.
        seen.put("group", all(report.v2GetGroupMessageList(Long.parseLong(args[6]), 1000, begin, end), null));

        seen.put("hour", report.getMessageStatistic("HOUR", end.substring(0, 13), 1));
        seen.put("day", report.getMessageStatistic("DAY", day, 1));
        seen.put("month", report.getMessageStatistic("MONTH", begin.substring(0, 7), 1));
        seen.put("user_statistics", report.getUserStatistic(day, 1).getArray());
        seen.put("group_statistics", report.getGroupStatistic(day, 1).getArray());

        List<String> users = new ArrayList<>();
        for (int total = 1; users.size() < total; ) {
            UserListResult page = client.getUserList(users.size(), PAGE);
            for (var u : page.getUsers()) {
                users.add(u.getUsername());
            }
            total = page.getTotal();
        }
        seen.put("users", users);
        GroupListResult groups = client.getGroupListByAppkey(0, PAGE);
        seen.put("groups", groups.getGroups().stream().map(g -> g.getGid()).toList());
        ChatRoomListResult rooms = client.getAppChatRoomInfo(0, PAGE);
        seen.put("rooms", rooms.getList().stream().map(r -> r.getId()).toList());
        System.out.println(new Gson().toJson(seen));
    }

    /** The ids of all messages, by cursors to the last page. */
    private static List<Long> all(MessageListResult page, Next next) throws Exception {
        List<Long> ids = new ArrayList<>();
        int total = page.getTotal();
        while (true) {
            for (MessageResult message : page.getMessages()) {
                ids.add(message.getMsgId());
            }
            if (page.getCursor() == null) {
                break;
            }
            page = next.after(page.getCursor());
        }
        if (ids.size() != total) {
            throw new IllegalStateException(ids.size() + " messages came of " + total);
        }
        return ids;
    }
}
